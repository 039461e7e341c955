//! Nodes that send a prompt to a service and get a picture, a video or a text back: ComfyUI's own
//! (comfy_api_nodes), told by how the names of their classes begin.

use super::Class;
use super::Gives::{self, Answered, Nothing, Sides};

const PROMPTS: Gives = Sides(
    "prompt,prompt_text,text_prompt,positive_prompt,text,model.prompt*",
    "negative_prompt,model.negative_prompt",
);

/// The pictures that a service edits.
const EARLIER: &str =
    "image*,images*,start_frame,first_frame,init_image,video,video_id,model.images*";

pub(super) const CLASSES: &[Class] = &[
    // Those that answer with text.
    Class::new(&["GeminiNode", "GeminiNodeV2"])
        .gives(&[Answered("prompt")])
        .widgets("prompt,model,seed"),
    Class::new(&[
        "OpenAIChatNode",
        "ClaudeNode",
        "AnthropicClaudeNode",
        "ClaudeChatNode",
        "GrokChatNode",
    ])
    .gives(&[Answered("prompt")])
    .widgets("prompt"),
    Class::new(&["OpenAIChatConfig", "OpenAIInputFiles", "GeminiInputFiles"]).gives(&[Nothing]),
    // Those that enlarge.
    Class::new(&[
        "StabilityUpscale*",
        "TopazImageEnhance*",
        "TopazVideoEnhance*",
        "MagnificImageUpscaler*",
        "WaveSpeedFlashVSR*",
        "WavespeedFlashVSR*",
        "WavespeedImageUpscale*",
        "HitPaw*",
        "RecraftCrispUpscale*",
        "RecraftCreativeUpscale*",
    ])
    .redraws(PROMPTS, EARLIER),
    Class::new(&[
        "RecraftStyle*",
        "RecraftColor*",
        "RecraftControls",
        "LumaReference*",
        "LumaConcepts*",
    ])
    .gives(&[Nothing]),
    // Those whose editor's values are in an order of their own.
    Class::new(&["OpenAIDalle2", "OpenAIDalle3", "OpenAIGPTImage1"])
        .draws(PROMPTS, EARLIER)
        .widgets("prompt"),
    Class::new(&["GeminiImageNode", "GeminiImage2Node"])
        .draws(PROMPTS, EARLIER)
        .widgets("prompt,model,seed"),
    Class::new(&["KlingTextToVideoNode"])
        .draws(PROMPTS, EARLIER)
        .widgets("prompt,negative_prompt"),
    Class::new(&["KlingImage2VideoNode"])
        .draws(PROMPTS, EARLIER)
        .widgets("prompt,negative_prompt"),
    Class::new(&[
        "ByteDanceImageNode",
        "ByteDanceSeedreamNode",
        "ByteDanceTextToVideoNode",
        "ByteDanceImageToVideoNode",
        "ByteDanceFirstLastFrameNode",
    ])
    .draws(PROMPTS, EARLIER)
    .widgets("model,prompt"),
    Class::new(&[
        "WanTextToImageApi",
        "WanTextToVideoApi",
        "WanImageToVideoApi",
    ])
    .draws(PROMPTS, EARLIER)
    .widgets("model,prompt,negative_prompt"),
    Class::new(&["PixverseTextToVideoNode", "PixverseImageToVideoNode"])
        .draws(PROMPTS, EARLIER)
        .widgets("prompt"),
    Class::new(&["RecraftTextToImageNode", "RecraftTextToVectorNode"])
        .draws(PROMPTS, EARLIER)
        .widgets("prompt"),
    // The rest.
    Class::new(&[
        "BeebleSwitch*",
        "Bria*",
        "ByteDance*",
        "FluxPro*",
        "FluxKontext*",
        "FluxVTO*",
        "Flux2Pro*",
        "Flux2Max*",
        "Flux2ImageNode*",
        "Flux3*",
        "GeminiImage*",
        "GeminiNanoBanana*",
        "GeminiVideo*",
        "GrokImage*",
        "GrokVideo*",
        "HappyHorse*",
        "HeyGenImage*",
        "HeyGenReference*",
        "Higgsfield*",
        "HunyuanImageEditApi",
        "HunyuanImageTextToImageApi",
        "IdeogramV*",
        "IdeogramText*",
        "Kling*",
        "Krea2ImageNode*",
        "Krea3ImageNode*",
        "LtxvApi*",
        "LtxApi*",
        "Luma*",
        "Magnific*",
        "Meshy*",
        "MetaMuse*",
        "Minimax*",
        "Moonvalley*",
        "OpenAIDalle*",
        "OpenAIGPTImage*",
        "OpenAIVideo*",
        "OpenRouterImage*",
        "Pika*",
        "Pixverse*",
        "Pruna*",
        "Quiver*",
        "QwenImageEditApi*",
        "QwenImageTextToImageApi*",
        "Recraft*",
        "Reve*",
        "Rodin3D*",
        "Runway*",
        "StabilityStable*",
        "StabilityText*",
        "SyncTalking*",
        "TencentText*",
        "TencentImage*",
        "TripoText*",
        "TripoPSeriesText*",
        "Veo*",
        "Vidu*",
        "Wan2TextToVideoApi*",
        "Wan2ImageToVideoApi*",
        "Wan2ReferenceVideoApi*",
        "Wan2VideoEditApi*",
        "Wan3*",
        "WanReferenceVideoApi*",
    ])
    .draws(PROMPTS, EARLIER),
    // Others' nodes of the same kind.
    Class::new(&[
        "FluxProAPI",
        "FluxAPI*",
        "IdeogramTxt2Img",
        "FalAPI*",
        "ReplicateRun*",
    ])
    .draws(PROMPTS, EARLIER),
    Class::new(&[
        "ClaudeAPI*",
        "ChatGPT*",
        "GPT4*",
        "Ollama*",
        "LLM*",
        "DeepSeek*",
        "QwenVL*",
        "Qwen2VL*",
        "Qwen3VL*",
        "BailianChat",
        "CommonLLMChat",
        "VolcengineChat",
        "Groq*",
        "Mistral*",
        "GroqAPI*",
        "VLM_*",
        "ZhipuAI*",
        "GLM4*",
        "Gemini_*",
        "GeminiAPI*",
        "Superprompt",
        "PromptExpansion",
        "SuperPrompter",
        "OneButtonPrompt*",
        "OpenRouterLLM*",
        "ByteDanceSeedNode*",
        "TextGenerat*",
        "LLLM*",
        "MiniCPM*",
        "TIPO*",
    ])
    .gives(&[Answered(
        "prompt,user_prompt,user_input,query,text,input_text,question,instruction,tags,nl_prompt",
    )]),
    Class::new(&[
        "Florence2Run",
        "WD14Tagger*",
        "JoyCaption*",
        "JoyTag*",
        "BLIPCaption*",
        "CLIPInterrogator*",
        "easy imageInterrogator",
        "easy joyCaption*",
        "LayerUtility: JoyCaption*",
        "LayerUtility: VQAPrompt",
        "LayerUtility: Florence2*",
    ])
    .gives(&[Nothing]),
    Class::new(&[
        "DeepTranslator*",
        "GoogleTranslate*",
        "ArgosTranslate*",
        "ETN_Translate",
    ])
    .gives(&[Answered("text")]),
    Class::new(&["Translate", "TranslateNode"])
        .gives(&[Answered("text")])
        .widgets("from_lang,to_lang,text"),
];
