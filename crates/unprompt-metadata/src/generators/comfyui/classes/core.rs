//! ComfyUI's own nodes (nodes.py, comfy_extras). Nodes that follow the rules for unknown classes, as
//! most that change a conditioning do, are left out.

use super::Class;
use super::Gives::{
    Answered, Any, Choice, Encoded, Joined, Merged, Negative, Nothing, Positive, Replaced, Shown,
    Sides,
};

const PROMPTS: super::Gives = Sides("positive", "negative");
const GUIDED: super::Gives = Sides("guider", "guider");

/// Conditionings go in side by side and come out so, first the prompt.
const SIDE_BY_SIDE: &[super::Gives] = &[Positive("positive"), Negative("negative"), Nothing];

pub(super) const CLASSES: &[Class] = &[
    // Samplers.
    Class::new(&["KSampler"])
        .draws(PROMPTS, "latent_image")
        .widgets("seed,_,steps,cfg,sampler_name,scheduler,denoise"),
    Class::new(&["KSamplerAdvanced"])
        .draws(PROMPTS, "latent_image")
        .widgets(
            "add_noise,noise_seed,_,steps,cfg,sampler_name,scheduler,start_at_step,end_at_step,\
         return_with_leftover_noise",
        ),
    Class::new(&["SamplerCustom"])
        .draws(PROMPTS, "latent_image")
        .widgets("add_noise,noise_seed,_,cfg"),
    Class::new(&["SamplerCustomAdvanced"]).draws(GUIDED, "latent_image"),
    Class::new(&["KSamplerSelect"])
        .gives(&[Nothing])
        .widgets("sampler_name"),
    Class::new(&["BasicScheduler"])
        .gives(&[Nothing])
        .widgets("scheduler,steps,denoise"),
    Class::new(&["RandomNoise"])
        .gives(&[Nothing])
        .widgets("noise_seed"),
    // Guiders.
    Class::new(&["BasicGuider"]).gives(&[Sides("conditioning", "")]),
    Class::new(&["CFGGuider"]).gives(&[PROMPTS]).widgets("cfg"),
    Class::new(&["PerpNegGuider"])
        .gives(&[Sides("positive", "negative,empty_conditioning")])
        .widgets("cfg,neg_scale"),
    Class::new(&["DualCFGGuider"])
        .gives(&[Sides("cond1", "negative,cond2")])
        .widgets("cfg_conds,cfg_cond2_negative,style"),
    Class::new(&["DualModelGuider", "MultimodalGuider"]).gives(&[PROMPTS]),
    // Text encoders.
    Class::new(&["CLIPTextEncode"])
        .gives(&[Encoded("text")])
        .widgets("text"),
    Class::new(&["CLIPTextEncodeSDXL"])
        .gives(&[Encoded("text_g,text_l")])
        .widgets("width,height,crop_w,crop_h,target_width,target_height,text_g,text_l"),
    Class::new(&["CLIPTextEncodeSDXLRefiner"])
        .gives(&[Encoded("text")])
        .widgets("ascore,width,height,text"),
    Class::new(&["CLIPTextEncodeFlux"])
        .gives(&[Encoded("t5xxl,clip_l")])
        .widgets("clip_l,t5xxl,guidance"),
    Class::new(&["CLIPTextEncodeSD3"])
        .gives(&[Encoded("t5xxl,clip_g,clip_l")])
        .widgets("clip_l,clip_g,t5xxl,empty_padding"),
    Class::new(&["CLIPTextEncodeHiDream"])
        .gives(&[Encoded("t5xxl,llama,clip_g,clip_l")])
        .widgets("clip_l,clip_g,t5xxl,llama"),
    Class::new(&["CLIPTextEncodeHunyuanDiT"])
        .gives(&[Encoded("bert,mt5xl")])
        .widgets("bert,mt5xl"),
    Class::new(&["CLIPTextEncodeKandinsky5"])
        .gives(&[Encoded("qwen25_7b,clip_l")])
        .widgets("clip_l,qwen25_7b"),
    Class::new(&["CLIPTextEncodePixArtAlpha"])
        .gives(&[Encoded("text")])
        .widgets("width,height,text"),
    Class::new(&["CLIPTextEncodeLumina2"])
        .gives(&[Encoded("user_prompt")])
        .widgets("system_prompt,user_prompt"),
    Class::new(&["CLIPTextEncodeControlnet"])
        .gives(&[Encoded("text")])
        .widgets("text"),
    Class::new(&["TextEncodeQwenImageEdit", "TextEncodeQwenImageEditPlus"])
        .gives(&[Encoded("prompt")])
        .widgets("prompt"),
    Class::new(&["TextEncodeHunyuanVideo_ImageToVideo"])
        .gives(&[Encoded("prompt")])
        .widgets("prompt,image_interleave"),
    Class::new(&["TextEncodeAceStepAudio", "TextEncodeAceStepAudio1.5"])
        .gives(&[Encoded("tags;lyrics")])
        .widgets("tags,lyrics,lyrics_strength"),
    Class::new(&["TextEncodeZImageOmni"])
        .gives(&[Encoded("prompt")])
        .widgets("prompt"),
    Class::new(&["PhotoMakerEncode"])
        .gives(&[Encoded("text")])
        .widgets("text"),
    // Conditionings that change.
    Class::new(&["ConditioningZeroOut"]).gives(&[Nothing]),
    Class::new(&["ConditioningCombine"]).gives(&[Merged("conditioning_1,conditioning_2")]),
    Class::new(&["ConditioningConcat"]).gives(&[Merged("conditioning_to,conditioning_from")]),
    Class::new(&["ConditioningAverage"])
        .gives(&[Merged("conditioning_to,conditioning_from")])
        .widgets("conditioning_to_strength"),
    Class::new(&["ConditioningSetPropertiesAndCombine"]).gives(&[Merged("cond,cond_NEW")]),
    Class::new(&["ConditioningSetDefaultAndCombine"]).gives(&[Merged("cond,cond_DEFAULT")]),
    Class::new(&["ConditioningSetProperties"]).gives(&[Any("cond_NEW")]),
    Class::new(&["PairConditioningCombine"]).gives(&[
        Merged("positive_A,positive_B"),
        Merged("negative_A,negative_B"),
    ]),
    Class::new(&["PairConditioningSetProperties"])
        .gives(&[Positive("positive_NEW"), Negative("negative_NEW")]),
    Class::new(&["PairConditioningSetPropertiesAndCombine"]).gives(&[
        Merged("positive,positive_NEW"),
        Merged("negative,negative_NEW"),
    ]),
    Class::new(&["PairConditioningSetDefaultAndCombine"]).gives(&[
        Merged("positive,positive_DEFAULT"),
        Merged("negative,negative_DEFAULT"),
    ]),
    Class::new(&["GLIGENTextBoxApply"])
        .gives(&[Merged("conditioning_to,text")])
        .widgets("text,width,height,x,y"),
    // Two conditionings side by side, some with a latent after them.
    Class::new(&[
        "ControlNetApplyAdvanced",
        "ControlNetApplySD3",
        "ControlNetInpaintingAliMamaApply",
        "InpaintModelConditioning",
        "InstructPixToPixConditioning",
        "SD_4XUpscale_Conditioning",
        "CosmosImageToVideoLatent",
        "HunyuanRefinerLatent",
        "HunyuanVideo15ImageToVideo",
        "HunyuanVideo15SuperResolution",
        "Kandinsky5ImageToVideo",
        "LTXVConditioning",
        "LTXVImgToVideo",
        "LTXVAddGuide",
        "LTXVCropGuides",
        "Wan22FunControlToVideo",
        "WanAnimateToVideo",
        "WanCameraImageToVideo",
        "WanFirstLastFrameToVideo",
        "WanFunControlToVideo",
        "WanFunInpaintToVideo",
        "WanHuMoImageToVideo",
        "WanImageToVideo",
        "WanMoveTrackToVideo",
        "WanSoundImageToVideo",
        "WanSoundImageToVideoExtend",
        "WanTrackToVideo",
        "WanVaceToVideo",
        "ConditioningStableAudio",
    ])
    .gives(SIDE_BY_SIDE),
    Class::new(&["WanPhantomSubjectToVideo"]).gives(&[
        Positive("positive"),
        Negative("negative"),
        Negative("negative"),
        Nothing,
    ]),
    Class::new(&["HunyuanImageToVideo"]).gives(&[Positive("positive"), Nothing]),
    // Strings.
    Class::new(&["PrimitiveString", "PrimitiveStringMultiline"])
        .gives(&[Any("value")])
        .widgets("value"),
    Class::new(&["PrimitiveInt", "PrimitiveFloat", "PrimitiveBoolean"])
        .gives(&[Nothing])
        .widgets("value"),
    Class::new(&["StringConcatenate"])
        .gives(&[Joined("string_a,string_b", "delimiter", "")])
        .widgets("string_a,string_b,delimiter"),
    Class::new(&["StringReplace"])
        .gives(&[Replaced("string", "find,replace")])
        .widgets("string,find,replace"),
    Class::new(&["StringTrim", "CaseConverter", "StringSubstring"])
        .gives(&[Any("string")])
        .widgets("string"),
    Class::new(&["RegexReplace"])
        .gives(&[Any("string")])
        .widgets("string,regex_pattern,replace,case_insensitive,multiline,dotall,count"),
    Class::new(&["RegexExtract"])
        .gives(&[Any("string")])
        .widgets("string,regex_pattern,mode,case_insensitive,multiline,dotall,group_index"),
    Class::new(&[
        "StringContains",
        "StringCompare",
        "StringLength",
        "RegexMatch",
    ])
    .gives(&[Nothing]),
    Class::new(&["PreviewAny"]).gives(&[Shown("source", "preview*,text*")]),
    Class::new(&["PreviewText", "PreviewTextNode"])
        .gives(&[Shown("text,source", "preview*,text*")]),
    // Switches.
    Class::new(&["ComfySwitchNode", "ComfySoftSwitchNode", "LazySwitchKJ"])
        .gives(&[Choice("switch", "on_true", "on_false")])
        .widgets("switch"),
    // Language models.
    Class::new(&["TextGenerate", "TextGenerateLTX2Prompt"])
        .gives(&[Answered("prompt")])
        .widgets("prompt"),
    // Loaders whose values are settings.
    Class::new(&[
        "CheckpointLoaderSimple",
        "CheckpointLoader",
        "ImageOnlyCheckpointLoader",
    ])
    .gives(&[Nothing])
    .widgets("ckpt_name"),
    Class::new(&["UNETLoader"])
        .gives(&[Nothing])
        .widgets("unet_name,weight_dtype"),
    Class::new(&[
        "EmptyLatentImage",
        "EmptySD3LatentImage",
        "EmptyFlux2LatentImage",
    ])
    .gives(&[Nothing])
    .widgets("width,height,batch_size"),
    Class::new(&[
        "EmptyHunyuanLatentVideo",
        "EmptyLTXVLatentVideo",
        "EmptyMochiLatentVideo",
    ])
    .gives(&[Nothing])
    .widgets("width,height,length,batch_size"),
    Class::new(&[
        "LoadImage",
        "LoadImageMask",
        "LoadImageOutput",
        "LoadVideo",
        "LoadAudio",
    ])
    .gives(&[Nothing])
    .widgets("image"),
    Class::new(&[
        "CLIPLoader",
        "DualCLIPLoader",
        "TripleCLIPLoader",
        "QuadrupleCLIPLoader",
    ])
    .gives(&[Nothing])
    .widgets("_"),
    Class::new(&[
        "VAELoader",
        "LoraLoader",
        "LoraLoaderModelOnly",
        "ControlNetLoader",
    ])
    .gives(&[Nothing])
    .widgets("_"),
];
