//! Impact Pack and Inspire Pack (ltdrdata).

use super::Class;
use super::Gives::{
    self, Any, Choice, Chosen, Encoded, Merged, Negative, Nothing, Positive, Sides, Switch, Written,
};

const PROMPTS: Gives = Sides("positive", "negative");
const PIPE: Gives = Sides("basic_pipe", "basic_pipe");
const DETAILS: &str =
    "guide_size,guide_size_for,max_size,seed,_,steps,cfg,sampler_name,scheduler,denoise";

pub(super) const CLASSES: &[Class] = &[
    // Pipes.
    Class::new(&["ToBasicPipe", "ToBasicPipe_v2"]).gives(&[PROMPTS]),
    Class::new(&["EditBasicPipe"]).gives(&[Sides("positive,basic_pipe", "negative,basic_pipe")]),
    Class::new(&["FromBasicPipe"]).gives(&[
        Nothing,
        Nothing,
        Nothing,
        Positive("basic_pipe"),
        Negative("basic_pipe"),
    ]),
    Class::new(&["FromBasicPipe_v2"]).gives(&[
        PIPE,
        Nothing,
        Nothing,
        Nothing,
        Positive("basic_pipe"),
        Negative("basic_pipe"),
    ]),
    Class::new(&["ToDetailerPipe", "ToDetailerPipeSDXL"])
        .gives(&[PROMPTS])
        .widgets("wildcard"),
    Class::new(&["EditDetailerPipe", "EditDetailerPipeSDXL"])
        .gives(&[Sides("positive,detailer_pipe", "negative,detailer_pipe")])
        .widgets("wildcard"),
    Class::new(&["BasicPipeToDetailerPipe"])
        .gives(&[PIPE])
        .widgets("wildcard"),
    Class::new(&["BasicPipeToDetailerPipeSDXL"])
        .gives(&[Sides("base_basic_pipe", "base_basic_pipe")])
        .widgets("wildcard"),
    Class::new(&["DetailerPipeToBasicPipe"]).gives(&[Sides("detailer_pipe", "detailer_pipe")]),
    Class::new(&["FromDetailerPipe"]).gives(&[
        Nothing,
        Nothing,
        Nothing,
        Positive("detailer_pipe"),
        Negative("detailer_pipe"),
        Nothing,
    ]),
    Class::new(&[
        "FromDetailerPipe_v2",
        "FromDetailerPipeSDXL",
        "FromDetailerPipe_SDXL",
    ])
    .gives(&[
        Sides("detailer_pipe", "detailer_pipe"),
        Nothing,
        Nothing,
        Nothing,
        Positive("detailer_pipe"),
        Negative("detailer_pipe"),
        Nothing,
    ]),
    // Samplers.
    Class::new(&["ImpactKSamplerBasicPipe", "KSamplerBasicPipe"])
        .gives(&[PIPE, Nothing])
        .draws(PIPE, "latent_image")
        .widgets("seed,_,steps,cfg,sampler_name,scheduler,denoise"),
    Class::new(&[
        "ImpactKSamplerAdvancedBasicPipe",
        "KSamplerAdvancedBasicPipe",
    ])
    .gives(&[PIPE, Nothing])
    .draws(PIPE, "latent_image")
    .widgets(
        "add_noise,noise_seed,_,steps,cfg,sampler_name,scheduler,start_at_step,end_at_step,\
             return_with_leftover_noise",
    ),
    Class::new(&["KSamplerProvider", "KSamplerAdvancedProvider"]).gives(&[PIPE]),
    Class::new(&["RegionalSampler", "RegionalSamplerAdvanced"]).draws(
        Gives::Merged("base_sampler,advanced_sampler,regional_prompts"),
        "samples,latent_image",
    ),
    Class::new(&["TwoSamplersForMask", "TiledKSamplerProvider"]).draws(
        Sides(
            "base_sampler,mask_sampler,basic_pipe",
            "base_sampler,basic_pipe",
        ),
        "latent_image",
    ),
    Class::new(&["CombineRegionalPrompts"]).gives(&[Merged("regional_prompts*")]),
    Class::new(&["RegionalPrompt"]).gives(&[Sides("advanced_sampler", "advanced_sampler")]),
    // Detailers and upscalers.
    Class::new(&[
        "FaceDetailer",
        "DetailerForEach",
        "DetailerForEachDebug",
        "MaskDetailer",
    ])
    .redraws(PROMPTS, "image,segs")
    .widgets(DETAILS),
    Class::new(&["FaceDetailerPipe"])
        .redraws(Sides("detailer_pipe", "detailer_pipe"), "image")
        .widgets(DETAILS),
    Class::new(&[
        "DetailerForEachPipe",
        "DetailerForEachDebugPipe",
        "MaskDetailerPipe",
        "SEGSDetailer",
        "SEGSUpscalerPipe",
    ])
    .redraws(PIPE, "image,segs")
    .widgets(DETAILS),
    Class::new(&[
        "SEGSDetailerForAnimateDiff",
        "DetailerForEachPipeForAnimateDiff",
    ])
    .redraws(PIPE, "image_frames,segs"),
    Class::new(&["SEGSUpscaler"]).redraws(PROMPTS, "image,segs"),
    Class::new(&["IterativeImageUpscale", "IterativeLatentUpscale"])
        .redraws(Sides("upscaler", "upscaler"), "pixels,samples"),
    Class::new(&[
        "PixelKSampleUpscalerProvider",
        "PixelTiledKSampleUpscalerProvider",
    ])
    .gives(&[PROMPTS]),
    Class::new(&[
        "PixelKSampleUpscalerProviderPipe",
        "PixelTiledKSampleUpscalerProviderPipe",
    ])
    .gives(&[PIPE]),
    // Conditionings.
    Class::new(&["ImpactCombineConditionings", "ImpactConcatConditionings"])
        .gives(&[Merged("conditioning*")]),
    Class::new(&["ImpactNegativeConditioningPlaceholder"]).gives(&[Nothing]),
    // Switches.
    Class::new(&["ImpactSwitch", "LatentSwitch", "SEGSSwitch"])
        .gives(&[Switch("select", "input*", 0), Nothing])
        .widgets("select,sel_mode"),
    Class::new(&["ImageMaskSwitch"])
        .gives(&[Switch(
            "select",
            "images1,images2_opt,images3_opt,images4_opt",
            0,
        )])
        .widgets("select"),
    Class::new(&["ImpactConditionalBranch", "ImpactConditionalBranchSelMode"])
        .gives(&[Choice("cond", "tt_value", "ff_value")])
        .widgets("cond"),
    Class::new(&["ImpactInversedSwitch"]).gives(&[Any("input")]),
    Class::new(&["ImpactIfNone"]).gives(&[Any("signal,any_input")]),
    // Strings.
    Class::new(&["ImpactWildcardProcessor"])
        .gives(&[Chosen("populated_text", "wildcard_text")])
        .widgets("wildcard_text,populated_text,mode,seed"),
    Class::new(&["ImpactWildcardEncode"])
        .gives(&[Chosen("populated_text", "wildcard_text")])
        .widgets("wildcard_text,populated_text,mode,_,_,seed"),
    Class::new(&["StringListToString"])
        .gives(&[Any("string_list")])
        .widgets("join_with,string_list"),
    Class::new(&["ImpactValueReceiver"])
        .gives(&[Any("value")])
        .widgets("typ,value"),
    // Inspire.
    Class::new(&["WildcardEncode //Inspire"])
        .gives(&[Chosen("populated_text", "wildcard_text")])
        .widgets("token_normalization,weight_interpretation,wildcard_text,populated_text,mode"),
    Class::new(&["MakeBasicPipe //Inspire"])
        .gives(&[Sides(
            "positive_populated_text,positive_wildcard_text",
            "negative_populated_text,negative_wildcard_text",
        )])
        .widgets(
            "ckpt_name,_,positive_wildcard_text,negative_wildcard_text,_,_,_,wildcard_mode,\
             positive_populated_text,negative_populated_text",
        ),
    Class::new(&["CLIPTextEncodeWithWeight //Inspire"])
        .gives(&[Encoded("text")])
        .widgets("text,strength,add_weight"),
    Class::new(&["RegionalConditioningSimple //Inspire"])
        .gives(&[Encoded("prompt")])
        .widgets("strength,set_cond_area,prompt"),
    Class::new(&["RegionalConditioningColorMask //Inspire"])
        .gives(&[Encoded("prompt"), Nothing])
        .widgets("mask_color,strength,set_cond_area,prompt"),
    Class::new(&["RegionalPromptSimple //Inspire"])
        .gives(&[Sides("wildcard_prompt,basic_pipe", "basic_pipe")])
        .widgets("cfg,sampler_name,scheduler,wildcard_prompt"),
    Class::new(&["RegionalPromptColorMask //Inspire"])
        .gives(&[Sides("wildcard_prompt,basic_pipe", "basic_pipe"), Nothing])
        .widgets("mask_color,cfg,sampler_name,scheduler,wildcard_prompt"),
    Class::new(&["KSampler //Inspire"])
        .draws(PROMPTS, "latent_image")
        .widgets("seed,_,steps,cfg,sampler_name,scheduler,denoise"),
    Class::new(&["KSamplerAdvanced //Inspire"])
        .draws(PROMPTS, "latent_image")
        .widgets("add_noise,noise_seed,_,steps,cfg,sampler_name,scheduler"),
    Class::new(&["KSamplerPipe //Inspire"])
        .gives(&[PIPE])
        .draws(PIPE, "latent_image")
        .widgets("seed,_,steps,cfg,sampler_name,scheduler,denoise"),
    Class::new(&["KSamplerAdvancedPipe //Inspire"])
        .gives(&[PIPE])
        .draws(PIPE, "latent_image")
        .widgets("add_noise,noise_seed,_,steps,cfg,sampler_name,scheduler"),
    Class::new(&["PromptBuilder //Inspire"])
        .gives(&[Any("text")])
        .widgets("category,preset,text"),
    Class::new(&["LoadSinglePromptFromFile //Inspire"])
        .gives(&[Written("text_data_opt", "index")])
        .widgets("prompt_file,index"),
    Class::new(&["LoadPromptsFromFile //Inspire"])
        .gives(&[Written("text_data_opt", "start_index"), Nothing])
        .widgets("prompt_file,reload,load_cap,start_index"),
    Class::new(&["LoadPromptsFromDir //Inspire"]).gives(&[Nothing]),
    Class::new(&["ZipPrompt //Inspire"])
        .gives(&[Sides("positive", "negative")])
        .widgets("positive,negative,name_opt"),
    Class::new(&["UnzipPrompt //Inspire"]).gives(&[
        Positive("zipped_prompt"),
        Negative("zipped_prompt"),
        Nothing,
    ]),
    Class::new(&["PromptExtractor //Inspire"]).gives(&[Nothing]),
];
