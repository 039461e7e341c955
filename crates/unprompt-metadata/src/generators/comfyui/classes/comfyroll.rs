//! Comfyroll (Suzie1, RockOfFire).

use super::Class;
use super::Gives::{
    self, Any, Encoded, Joined, Negative, Nothing, Positive, Replaced, Sides, Switch,
};

const PIPE: Gives = Sides("pipe", "pipe");

pub(super) const CLASSES: &[Class] = &[
    Class::new(&["CR Prompt Text"])
        .gives(&[Any("prompt"), Nothing])
        .widgets("prompt"),
    Class::new(&["CR Text", "CR Multiline Text"])
        .gives(&[Any("text"), Nothing])
        .widgets("text"),
    Class::new(&["CR Text Concatenate"])
        .gives(&[Joined("text1,text2", "separator", ""), Nothing])
        .widgets("text1,text2,separator"),
    Class::new(&["CR Combine Prompt"])
        .gives(&[Joined("part1,part2,part3,part4", "separator", ""), Nothing])
        .widgets("part1,part2,part3,part4,separator"),
    Class::new(&["CR Text Replace"])
        .gives(&[
            Replaced("text", "find1,replace1,find2,replace2,find3,replace3"),
            Nothing,
        ])
        .widgets("text,find1,replace1,find2,replace2,find3,replace3"),
    Class::new(&["CR Text Operation"])
        .gives(&[Any("text"), Nothing])
        .widgets("text,operation"),
    Class::new(&["CR Text List"])
        .gives(&[Any("multiline_text"), Nothing])
        .widgets("multiline_text,start_index,max_rows"),
    Class::new(&["CR Prompt List"])
        .gives(&[
            Joined("prepend_text,multiline_text,append_text", "", ""),
            Any("multiline_text"),
            Nothing,
        ])
        .widgets("prepend_text,multiline_text,append_text"),
    Class::new(&["CR Text Cycler"])
        .gives(&[Any("text"), Nothing])
        .widgets("text"),
    Class::new(&["CR Keyframe List", "CR Prompt List Keyframes"])
        .gives(&[Any("keyframe_list")])
        .widgets("keyframe_list"),
    Class::new(&["CR Simple Prompt Scheduler", "CR Prompt Scheduler"]).gives(&[
        Any("keyframe_list,default_prompt"),
        Any("keyframe_list,default_prompt"),
        Nothing,
    ]),
    Class::new(&["CR Encode Scheduled Prompts"]).gives(&[Encoded("current_prompt"), Nothing]),
    Class::new(&["CR Integer To String", "CR Float To String", "CR Seed"]).gives(&[Nothing]),
    // Switches: a number from one.
    Class::new(&["CR Text Input Switch"])
        .gives(&[Switch("Input", "text1,text2", 0), Nothing])
        .widgets("Input,text1,text2"),
    Class::new(&["CR Text Input Switch (4 way)"])
        .gives(&[Switch("Input", "text1,text2,text3,text4", 0), Nothing])
        .widgets("Input,text1,text2,text3,text4"),
    Class::new(&["CR Conditioning Input Switch"])
        .gives(&[Switch("Input", "conditioning1,conditioning2", 0), Nothing])
        .widgets("Input"),
    Class::new(&["CR Image Input Switch", "CR Image Input Switch (4 way)"])
        .gives(&[Switch("Input", "image1,image2,image3,image4", 0), Nothing])
        .widgets("Input"),
    Class::new(&["CR Latent Input Switch"])
        .gives(&[Switch("Input", "latent1,latent2", 0), Nothing])
        .widgets("Input"),
    Class::new(&["CR Pipe Switch"])
        .gives(&[Switch("Input", "pipe1,pipe2", 0), Nothing])
        .widgets("Input"),
    // Pipes.
    Class::new(&["CR Module Pipe Loader"]).gives(&[Sides("pos,pipe", "neg,pipe"), Nothing]),
    Class::new(&["CR Module Input"]).gives(&[
        PIPE,
        Nothing,
        Positive("pipe"),
        Negative("pipe"),
        Nothing,
    ]),
    Class::new(&["CR Module Output"]).gives(&[Sides("pos,pipe", "neg,pipe"), Nothing]),
    Class::new(&["CR Apply ControlNet"]).gives(&[Any("conditioning"), Nothing]),
    Class::new(&["CR Apply Multi-ControlNet"]).gives(&[
        Positive("base_positive"),
        Negative("base_negative"),
        Nothing,
    ]),
    Class::new(&["CR SDXL Prompt Mix Presets", "CR SDXL Prompt Mixer"])
        .gives(&[Any("prompt_positive"), Any("prompt_negative")]),
    Class::new(&["CR SDXL Base Prompt Encoder"]).gives(&[
        Encoded("pos_g,pos_l"),
        Encoded("neg_g,neg_l"),
        Nothing,
    ]),
    Class::new(&[
        "CR Draw Text",
        "CR Overlay Text",
        "CR Simple Text Watermark",
        "CR Simple Banner",
        "CR Simple Meme Template",
        "CR Mask Text",
        "CR Composite Text",
    ])
    .gives(&[Nothing]),
];
