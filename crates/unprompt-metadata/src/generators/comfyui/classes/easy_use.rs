//! Easy-Use (yolain). Its pipe carries the loader's prompts, and from the first sampler on a picture.

use super::Class;
use super::Gives::{
    self, Any, Choice, Joined, Negative, Nothing, Positive, Replaced, Shown, Sides, Switch,
};

const PROMPTS: Gives = Sides("positive", "negative");
const PIPE: Gives = Sides("pipe", "pipe");

pub(super) const CLASSES: &[Class] = &[
    // Loaders.
    Class::new(&["easy fullLoader"])
        .gives(&[
            PROMPTS,
            Nothing,
            Nothing,
            Nothing,
            Positive("positive"),
            Negative("negative"),
            Nothing,
        ])
        .widgets("ckpt_name,_,_,_,_,_,_,_,width,height,positive,_,_,negative,_,_,batch_size"),
    Class::new(&[
        "easy a1111Loader",
        "easy comfyLoader",
        "easy hunyuanDiTLoader",
    ])
    .gives(&[PROMPTS, Nothing])
    .widgets("ckpt_name,_,_,_,_,_,_,width,height,positive,negative,batch_size"),
    Class::new(&["easy fluxLoader"])
        .gives(&[Sides("positive", ""), Nothing])
        .widgets("ckpt_name,_,_,_,_,_,width,height,positive,batch_size"),
    Class::new(&["easy kolorsLoader"])
        .gives(&[PROMPTS, Nothing])
        .widgets("unet_name,_,_,_,_,_,_,width,height,positive,negative,batch_size"),
    Class::new(&["easy cascadeLoader"])
        .gives(&[PROMPTS, Nothing])
        .widgets("_,_,_,_,_,_,_,_,width,height,_,positive,negative,batch_size"),
    Class::new(&["easy pixArtLoader"])
        .gives(&[PROMPTS, Nothing])
        .widgets("ckpt_name,_,_,_,_,_,_,_,_,_,_,_,width,height,positive,negative,batch_size"),
    Class::new(&["easy mochiLoader"])
        .gives(&[PROMPTS, Nothing])
        .widgets("ckpt_name,_,positive,negative,_,width,height"),
    Class::new(&["easy svdLoader"])
        .gives(&[Sides("optional_positive", "optional_negative"), Nothing]),
    // Pipes.
    Class::new(&["easy pipeIn"]).gives(&[Sides("pos,pipe", "neg,pipe")]),
    Class::new(&["easy pipeOut"]).gives(&[
        PIPE,
        Nothing,
        Positive("pipe"),
        Negative("pipe"),
        Nothing,
    ]),
    Class::new(&["easy pipeEdit"]).gives(&[
        Sides("optional_positive,pos,pipe", "optional_negative,neg,pipe"),
        Nothing,
        Positive("optional_positive,pos,pipe"),
        Negative("optional_negative,neg,pipe"),
        Nothing,
    ]),
    Class::new(&["easy pipeEditPrompt"])
        .gives(&[Sides("positive,pipe", "negative,pipe")])
        .widgets("positive,negative"),
    Class::new(&[
        "easy preSampling*",
        "easy preDetailerFix",
        "easy preMaskDetailerFix",
        "easy pipeToBasicPipe",
        "easy pipeBatchIndex",
        "easy controlnetStackApply",
        "easy apply*",
        "easy XYPlot*",
    ])
    .gives(&[PIPE, Nothing]),
    Class::new(&["easy controlnetLoader*"]).gives(&[PIPE, Positive("pipe"), Negative("pipe")]),
    Class::new(&["easy instantIDApply", "easy instantIDApplyADV"]).gives(&[
        PIPE,
        Nothing,
        Positive("positive,pipe"),
        Negative("negative,pipe"),
    ]),
    Class::new(&["easy ipadapterApplyRegional"]).gives(&[
        PIPE,
        Nothing,
        Positive("positive"),
        Negative("negative"),
    ]),
    // Samplers.
    Class::new(&["easy fullkSampler"])
        .gives(&[
            Sides("positive,pipe", "negative,pipe"),
            Nothing,
            Nothing,
            Positive("positive,pipe"),
            Negative("negative,pipe"),
            Nothing,
        ])
        .draws(Sides("positive,pipe", "negative,pipe"), "latent,image,pipe")
        .widgets("steps,cfg,sampler_name,scheduler,denoise"),
    Class::new(&[
        "easy kSampler*",
        "easy cascadeKSampler",
        "easy fullCascadeKSampler",
    ])
    .gives(&[PIPE, Nothing])
    .draws(PIPE, "pipe"),
    Class::new(&["easy detailerFix", "easy ultralyticsDetectorPipe"])
        .gives(&[PIPE, Nothing])
        .redraws(PIPE, "pipe,optional_image"),
    Class::new(&["easy hiresFix"]).gives(&[PIPE, Nothing]),
    // Strings.
    Class::new(&["easy positive"])
        .gives(&[Any("positive")])
        .widgets("positive"),
    Class::new(&["easy negative"])
        .gives(&[Any("negative")])
        .widgets("negative"),
    Class::new(&["easy string"])
        .gives(&[Any("value")])
        .widgets("value"),
    Class::new(&["easy prompt"])
        .gives(&[Any("text")])
        .widgets("text"),
    Class::new(&["easy stylesSelector"])
        .gives(&[Positive("positive"), Negative("negative")])
        .widgets("styles,positive,negative"),
    Class::new(&["easy loraPromptApply"]).gives(&[
        Nothing,
        Nothing,
        Positive("positive"),
        Negative("negative"),
    ]),
    Class::new(&["easy promptConcat"])
        .gives(&[Joined("prompt1,prompt2", "separator", "")])
        .widgets("prompt1,prompt2,separator"),
    Class::new(&["easy promptReplace"])
        .gives(&[Replaced(
            "prompt",
            "find1,replace1,find2,replace2,find3,replace3",
        )])
        .widgets("prompt,find1,replace1,find2,replace2,find3,replace3"),
    Class::new(&["easy promptLine"])
        .gives(&[Any("prompt")])
        .widgets("prompt,start_index,max_rows"),
    Class::new(&["easy promptList"])
        .gives(&[Any("prompt_*")])
        .widgets("prompt_1,prompt_2,prompt_3,prompt_4,prompt_5"),
    Class::new(&["easy promptAwait"])
        .gives(&[Any("prev"), Any("prompt")])
        .widgets("now,prompt"),
    Class::new(&["easy wildcards", "easy wildcardsMatrix"])
        .gives(&[Gives::Chosen("populated_text", "text")])
        .widgets("text"),
    Class::new(&["easy stringJoinLines"])
        .gives(&[Any("string")])
        .widgets("string,delimiter"),
    Class::new(&["easy showAnything", "easy showTensorShape"])
        .gives(&[Shown("anything", "text,anything")]),
    Class::new(&["easy convertAnything"]).gives(&[Any("*")]),
    Class::new(&[
        "easy cleanGpuUsed",
        "easy clearCacheAll",
        "easy clearCacheKey",
    ])
    .gives(&[Any("anything")]),
    // Switches.
    Class::new(&["easy textSwitch"])
        .gives(&[Switch("input", "text1,text2", 0)])
        .widgets("input,text1,text2"),
    Class::new(&["easy ifElse"])
        .gives(&[Choice("boolean", "on_true", "on_false")])
        .widgets("boolean"),
    Class::new(&["easy imageSwitch"])
        .gives(&[Choice("boolean", "image_a", "image_b")])
        .widgets("boolean"),
    Class::new(&["easy textIndexSwitch"])
        .gives(&[Switch("index", "text*", 0)])
        .widgets("index"),
    Class::new(&["easy conditioningIndexSwitch"])
        .gives(&[Switch("index", "cond*", 0)])
        .widgets("index"),
    Class::new(&["easy imageIndexSwitch"])
        .gives(&[Switch("index", "image*", 0)])
        .widgets("index"),
    Class::new(&["easy anythingIndexSwitch"])
        .gives(&[Switch("index", "value*", 0)])
        .widgets("index"),
];
