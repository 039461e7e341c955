//! Efficiency nodes (jags111, LucianoCirino) and rgthree's nodes.

use super::Class;
use super::Gives::{self, Any, Negative, Nothing, Positive, Shown, Sides};

const PROMPTS: Gives = Sides("positive", "negative");
const TUPLE: Gives = Sides("sdxl_tuple", "sdxl_tuple");
const CONTEXT: Gives = Sides(
    "positive,base_ctx,text_pos_g,text_pos_l",
    "negative,base_ctx,text_neg_g,text_neg_l",
);
const CONTEXTS: Gives = Sides("ctx_*", "ctx_*");

pub(super) const CLASSES: &[Class] = &[
    Class::new(&["Efficient Loader"])
        .gives(&[Nothing, Positive("positive"), Negative("negative"), Nothing])
        .widgets("ckpt_name,vae_name,clip_skip,lora_name,_,_,positive,negative,_,_,width,height"),
    Class::new(&["Eff. Loader SDXL"])
        .gives(&[PROMPTS, Nothing])
        .widgets("ckpt_name,_,_,_,_,_,vae_name,positive,negative,_,_,width,height"),
    Class::new(&["KSampler (Efficient)"])
        .gives(&[Nothing, Positive("positive"), Negative("negative"), Nothing])
        .draws(PROMPTS, "latent_image")
        .widgets("seed,_,steps,cfg,sampler_name,scheduler,denoise"),
    Class::new(&["KSampler Adv. (Efficient)"])
        .gives(&[Nothing, Positive("positive"), Negative("negative"), Nothing])
        .draws(PROMPTS, "latent_image")
        .widgets("add_noise,noise_seed,_,steps,cfg,sampler_name,scheduler,start_at_step"),
    Class::new(&["KSampler SDXL (Eff.)"])
        .gives(&[TUPLE, Nothing])
        .draws(TUPLE, "latent_image")
        .widgets("noise_seed,_,steps,cfg,sampler_name,scheduler"),
    Class::new(&["Pack SDXL Tuple"]).gives(&[Sides("base_positive", "base_negative")]),
    Class::new(&["Unpack SDXL Tuple"]).gives(&[
        Nothing,
        Nothing,
        Positive("sdxl_tuple"),
        Negative("sdxl_tuple"),
        Nothing,
        Nothing,
        Positive("sdxl_tuple"),
        Negative("sdxl_tuple"),
    ]),
    Class::new(&["Apply ControlNet Stack"]).gives(&[Positive("positive"), Negative("negative")]),
    // rgthree.
    Class::new(&["Any Switch (rgthree)"]).gives(&[Any("any_*")]),
    Class::new(&["Context (rgthree)", "Context Big (rgthree)"]).gives(&[
        CONTEXT,
        Nothing,
        Nothing,
        Nothing,
        Positive("positive,base_ctx"),
        Negative("negative,base_ctx"),
        Nothing,
        Nothing,
        Nothing,
        Nothing,
        Nothing,
        Nothing,
        Nothing,
        Nothing,
        Nothing,
        Nothing,
        Nothing,
        Positive("text_pos_g,base_ctx"),
        Positive("text_pos_l,base_ctx"),
        Negative("text_neg_g,base_ctx"),
        Negative("text_neg_l,base_ctx"),
        Nothing,
    ]),
    Class::new(&[
        "Context Switch (rgthree)",
        "Context Switch Big (rgthree)",
        "Context Merge (rgthree)",
        "Context Merge Big (rgthree)",
    ])
    .gives(&[
        CONTEXTS,
        Nothing,
        Nothing,
        Nothing,
        Positive("ctx_*"),
        Negative("ctx_*"),
        Nothing,
    ]),
    Class::new(&["Display Any (rgthree)", "Display Int (rgthree)"])
        .gives(&[Shown("source,input", "output*,*")]),
    Class::new(&["Power Prompt (rgthree)"])
        .gives(&[Any("prompt"), Nothing, Nothing, Any("prompt")])
        .widgets("prompt"),
    Class::new(&["Power Prompt - Simple (rgthree)"])
        .gives(&[Any("prompt")])
        .widgets("prompt"),
    Class::new(&["SDXL Power Prompt - Positive (rgthree)"])
        .gives(&[
            Gives::Encoded("prompt_g,prompt_l"),
            Nothing,
            Nothing,
            Any("prompt_g"),
            Any("prompt_l"),
        ])
        .widgets("prompt_g,prompt_l"),
    Class::new(&["SDXL Power Prompt - Simple / Negative (rgthree)"])
        .gives(&[
            Gives::Encoded("prompt_g,prompt_l"),
            Any("prompt_g"),
            Any("prompt_l"),
        ])
        .widgets("prompt_g,prompt_l"),
    Class::new(&["Power Lora Loader (rgthree)", "Lora Loader Stack (rgthree)"]).gives(&[Nothing]),
    Class::new(&["Image Comparer (rgthree)"]).gives(&[Nothing]),
    Class::new(&["Seed (rgthree)"])
        .gives(&[Nothing])
        .widgets("seed"),
];
