//! KJNodes and WanVideoWrapper (kijai), and smaller packs.

use super::Class;
use super::Gives::{
    self, Any, Choice, Chosen, Encoded, Filled, Joined, Merged, Negative, Nothing, Positive,
    Replaced, Shown, Sides, Switch,
};

const PROMPTS: Gives = Sides("positive", "negative");
const EMBEDS: Gives = Sides("text_embeds", "text_embeds");

pub(super) const CLASSES: &[Class] = &[
    // WanVideoWrapper, and the wrappers of other video models by the same hand.
    Class::new(&["WanVideoSampler"])
        .draws(EMBEDS, "samples")
        .widgets("steps,cfg,shift,seed"),
    Class::new(&[
        "WanVideoSampler*",
        "WanVideoDiffusionForcingSampler",
        "WanVideoFlowEdit",
    ])
    .draws(EMBEDS, "samples"),
    Class::new(&["WanVideoTextEncode"])
        .gives(&[Sides("positive_prompt", "negative_prompt")])
        .widgets("positive_prompt,negative_prompt"),
    Class::new(&["WanVideoTextEncodeCached"])
        .gives(&[
            Sides("positive_prompt", "negative_prompt"),
            Sides("negative_prompt", "negative_prompt"),
            Any("positive_prompt"),
        ])
        .widgets("model_name,precision,positive_prompt,negative_prompt"),
    Class::new(&["WanVideoTextEncodeSingle"])
        .gives(&[Any("prompt")])
        .widgets("prompt"),
    Class::new(&["WanVideoTextEmbedBridge"]).gives(&[PROMPTS]),
    Class::new(&["WanVideoApplyNAG"]).gives(&[Sides(
        "original_text_embeds",
        "nag_text_embeds,original_text_embeds",
    )]),
    Class::new(&["WanVideoPromptExtender", "WanVideoPromptExtenderSelect"])
        .gives(&[Gives::Answered("prompt")])
        .widgets("prompt"),
    Class::new(&["HyVideoTextEncode"])
        .gives(&[Sides("prompt", "")])
        .widgets("prompt"),
    Class::new(&[
        "HyVideoSampler",
        "HyVideoInverseSampler",
        "HyVideoReSampler",
    ])
    .draws(Sides("hyvid_embeds", "hyvid_embeds"), "samples"),
    Class::new(&["CogVideoTextEncode"])
        .gives(&[Any("prompt")])
        .widgets("prompt"),
    Class::new(&["CogVideoSampler", "FramePackSampler", "FramePackSampler*"])
        .draws(PROMPTS, "samples,initial_samples"),
    // KJNodes.
    Class::new(&["StringConstant", "StringConstantMultiline"])
        .gives(&[Any("string")])
        .widgets("string,strip_newlines"),
    Class::new(&["JoinStrings"])
        .gives(&[Joined("string1,string2", "delimiter", "")])
        .widgets("delimiter"),
    Class::new(&["JoinStringMulti"])
        .gives(&[Joined("string_*", "delimiter", "")])
        .widgets("inputcount,delimiter,return_list"),
    Class::new(&["SomethingToString"])
        .gives(&[Joined("prefix,input,suffix", "", "")])
        .widgets("prefix,suffix"),
    Class::new(&["WidgetToString", "SaveStringKJ"]).gives(&[Nothing]),
    Class::new(&["CondPassThrough"]).gives(&[Positive("positive"), Negative("negative")]),
    Class::new(&["ConditioningMultiCombine"]).gives(&[Merged("conditioning_*"), Nothing]),
    Class::new(&["ConditioningSetMaskAndCombine*"]).gives(&[
        Merged("positive_1,positive_2,positive_3,positive_4,positive_5"),
        Merged("negative_1,negative_2,negative_3,negative_4,negative_5"),
    ]),
    Class::new(&["HunyuanVideoEncodeKeyframesToCond"]).gives(&[
        Nothing,
        Positive("positive"),
        Negative("negative"),
        Nothing,
    ]),
    Class::new(&["WanImageToVideoSVIPro"]).gives(&[
        Positive("positive"),
        Negative("negative"),
        Nothing,
    ]),
    // Upscalers that redraw.
    Class::new(&["UltimateSDUpscale"])
        .redraws(PROMPTS, "image")
        .widgets("upscale_by,seed,_,steps,cfg,sampler_name,scheduler,denoise"),
    Class::new(&["UltimateSDUpscaleNoUpscale"])
        .redraws(PROMPTS, "upscaled_image,image")
        .widgets("seed,_,steps,cfg,sampler_name,scheduler,denoise"),
    Class::new(&["UltimateSDUpscaleCustomSample"])
        .redraws(PROMPTS, "image")
        .widgets("upscale_by,seed,_,steps,cfg,sampler_name,scheduler,denoise"),
    Class::new(&[
        "SUPIR_sample",
        "SUPIR_Upscale",
        "SUPIR_conditioner",
        "CCSR_Upscale",
        "SeedVR2VideoUpscaler",
        "SeedVR2",
        "FlashVSR*",
    ])
    .redraws(
        Sides("positive,positive_prompt", "negative,negative_prompt"),
        "image,images,latents,latent",
    ),
    // Regions and weights.
    Class::new(&["BNK_CutoffBasePrompt"])
        .gives(&[Encoded("text")])
        .widgets("text"),
    Class::new(&["BNK_CutoffSetRegions"])
        .gives(&[Any("clip_regions")])
        .widgets("region_text,target_text,weight"),
    Class::new(&[
        "BNK_CutoffRegionsToConditioning",
        "BNK_CutoffRegionsToConditioning_ADV",
    ])
    .gives(&[Any("clip_regions")])
    .widgets("mask_token"),
    Class::new(&["BNK_CLIPTextEncodeAdvanced"])
        .gives(&[Encoded("text")])
        .widgets("text,token_normalization,weight_interpretation"),
    Class::new(&["BNK_CLIPTextEncodeSDXLAdvanced"])
        .gives(&[Encoded("text_l,text_g")])
        .widgets("text_l,text_g"),
    Class::new(&["smZ CLIPTextEncode"])
        .gives(&[Encoded("text;text_g,text_l")])
        .widgets("text"),
    Class::new(&["CLIPTextEncodeSDXL+"])
        .gives(&[Encoded("text")])
        .widgets("width,height,size_cond_factor,text"),
    Class::new(&["ConditioningCombineMultiple+"]).gives(&[Merged("conditioning_*")]),
    Class::new(&[
        "PCLazyTextEncode",
        "PCTextEncode",
        "PCLazyTextEncodeAdvanced",
    ])
    .gives(&[Encoded("text")])
    .widgets("text"),
    Class::new(&["Prompt (LoraManager)"])
        .gives(&[Encoded("text"), Any("text")])
        .widgets("_,text"),
    // TinyTerra's pipes.
    Class::new(&["ttN pipeLoader_v2"])
        .gives(&[
            PROMPTS,
            Nothing,
            Positive("positive"),
            Negative("negative"),
            Nothing,
            Nothing,
            Nothing,
            Nothing,
            Nothing,
            Nothing,
            Positive("positive"),
            Negative("negative"),
        ])
        .widgets("ckpt_name,_,_,_,_,positive,_,_,negative,_,_,_,width,height,batch_size,seed"),
    Class::new(&["ttN pipeKSampler*"])
        .gives(&[
            Sides("pipe", "pipe"),
            Nothing,
            Positive("optional_positive,pipe"),
            Negative("optional_negative,pipe"),
            Nothing,
        ])
        .draws(
            Sides("optional_positive,pipe", "optional_negative,pipe"),
            "optional_latent,pipe",
        ),
    // Strings of smaller packs.
    Class::new(&["PromptStashSaver", "PromptStashPassthrough"])
        .gives(&[Choice(
            "use_input_text",
            "text,prompt_text",
            "prompt_text,text",
        )])
        .widgets("use_input_text,prompt_text,save_as_key"),
    Class::new(&["PromptStashManager", "PromptStashLoader"]).gives(&[Any("prompt_text")]),
    Class::new(&[
        "DPRandomGenerator",
        "DPCombinatorialGenerator",
        "DPFeelingLucky",
        "DPMagicPrompt",
        "DPJinja",
        "DPOutput",
    ])
    .gives(&[Chosen("", "text")])
    .widgets("text"),
    Class::new(&["String Literal (Image Saver)", "String Literal"])
        .gives(&[Any("string")])
        .widgets("string"),
    Class::new(&["MTB_ApplyTextTemplate"])
        .gives(&[Filled("template", "*")])
        .widgets("template"),
    Class::new(&["StringFormat", "FormatString", "ComfyFormatString"])
        .gives(&[Filled("f_string,template,format,format_string,string", "*")]),
    Class::new(&["MTB_StringReplace"])
        .gives(&[Replaced("string", "old,new")])
        .widgets("string,old,new"),
    Class::new(&["LayerUtility: TextBox"])
        .gives(&[Any("text")])
        .widgets("text"),
    Class::new(&["LayerUtility: TextJoin"])
        .gives(&[Joined("text_*", "", ", ")])
        .widgets("text_1,text_2,text_3,text_4"),
    Class::new(&["LayerUtility: TextJoinV2"])
        .gives(&[Joined("text_*", "delimiter", ", ")])
        .widgets("text_1,delimiter,text_2,text_3,text_4"),
    Class::new(&["LayerUtility: If ", "LayerUtility: If"]).gives(&[Choice(
        "if_condition",
        "when_TRUE",
        "when_FALSE",
    )]),
    Class::new(&[
        "Switch any [Crystools]",
        "Switch string [Crystools]",
        "Switch conditioning [Crystools]",
        "Switch image [Crystools]",
        "Switch latent [Crystools]",
    ])
    .gives(&[Choice("boolean", "on_true", "on_false")]),
    Class::new(&["List of strings [Crystools]"])
        .gives(&[Joined("string_*", "delimiter", ""), Nothing]),
    Class::new(&["Show any [Crystools]", "Show any to JSON [Crystools]"])
        .gives(&[Shown("any_value", "*")]),
    Class::new(&["SimpleCondition+"]).gives(&[Choice("evaluate", "on_true", "on_false")]),
    Class::new(&["SDXLPromptStyler*"])
        .gives(&[Positive("text_positive"), Negative("text_negative")])
        .widgets("text_positive,text_negative,style"),
    Class::new(&["IsaacSwitch", "Logic Switch*"]).gives(&[Switch("select,index,input", "*", 0)]),
    // Pictures that come back from elsewhere, or are looked at.
    Class::new(&["ETN_LoadImageBase64", "ETN_LoadMaskBase64"]).gives(&[Nothing]),
];
