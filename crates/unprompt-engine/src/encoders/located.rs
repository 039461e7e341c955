//! From the name a user gave to a network: which files, and which kind of model they are.

use crate::error::{EngineError, Result};
use std::path::Path;
use unprompt_checkpoint::{Checkpoint, Pickle};
use unprompt_files::read_regular;
use unprompt_hub::{Hub, ModelKind, ModelRef, Progress, ResolvedModel};
use unprompt_models::{
    ClipCheckpoint, Compute, KnownClip, KnownSiglip, LoadOptions, ModelError, SentenceEncoder,
    SiglipCheckpoint, Vit, is_siglip, known_clip, known_clips, known_siglip, known_siglips,
};

/// The largest file of a configuration that is read.
pub(crate) const LARGEST_CONFIGURATION: u64 = 4 << 20;

/// A model's files on this machine, not read yet.
pub(crate) struct Located {
    pub(crate) resolved: ResolvedModel,
    pub(crate) pickle: Pickle,
    name: String,
    /// Set for a name such as `ViT-H-14/laion2b_s32b_b79k`.
    known_clip: Option<KnownClip>,
}

/// What a model is, told from its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A folder of sentence-transformers.
    SentenceEncoder,
    /// A CLIP of open_clip or transformers.
    Clip,
    /// A SigLIP of open_clip or transformers.
    Siglip,
    /// A Vision Transformer of timm, with its configuration.
    TimmVit,
    /// A Vision Transformer of transformers.
    TransformersVit,
    /// A Vision Transformer's tensors alone, as the paper's regressor is published.
    BareVit,
    /// EfficientNet-Lite.
    EfficientNetLite,
    /// CLIP's byte pairs alone.
    ClipVocabulary,
    /// A BLIP captioner of transformers.
    Blip,
    /// A BLIP captioner's tensors alone, as its authors publish them.
    OriginalBlip,
    /// An OFA captioner.
    Ofa,
    /// The tokenizer of a CLIP of transformers alone.
    ClipTokenizer,
    /// Another tokenizer alone.
    Tokenizer,
}

impl Located {
    /// Finds a model by its name, and fetches it when it is not here.
    pub(crate) fn new(hub: &Hub, name: &str, progress: &dyn Progress) -> Result<Self> {
        let named = of_open_clip(name)?;
        let reference = reference_of(name, named.as_ref())?;
        let known_clip = match named {
            Some(Named::Clip(known)) => Some(known),
            _ => None,
        };
        let resolved = hub.resolve(&reference, progress)?;
        let pickle = if hub.allows_pickle() {
            Pickle::Allow
        } else {
            Pickle::Deny
        };
        Ok(Self {
            resolved,
            pickle,
            name: name.to_owned(),
            known_clip,
        })
    }

    /// The folder, or the file where the model is one file.
    pub(crate) fn path(&self) -> &Path {
        match self.resolved.files.values().next() {
            Some(file) if self.resolved.files.len() == 1 => file,
            _ => &self.resolved.dir,
        }
    }

    /// Turns a model's error into one that names the model.
    pub(crate) fn named<T>(&self, result: std::result::Result<T, ModelError>) -> Result<T> {
        result.map_err(|reason| EngineError::Model {
            name: self.name.clone(),
            reason,
        })
    }

    /// An error for a model that is of another kind than the command needs.
    pub(crate) fn refuse<T>(&self, found: Kind, needed: &str) -> Result<T> {
        let message = format!("{}, where {needed} is needed", found.describe());
        self.named(Err(ModelError::Configuration {
            path: self.path().to_owned(),
            message,
        }))
    }

    /// How its files are read, for a network that computes as asked.
    pub(crate) fn options(&self, compute: &Compute) -> LoadOptions {
        LoadOptions {
            pickle: self.pickle,
            compute: compute.clone(),
        }
    }

    /// Builds the sentence encoder that the files are.
    pub(crate) fn sentence_encoder(&self, compute: &Compute) -> Result<SentenceEncoder> {
        self.named(SentenceEncoder::load(
            &self.resolved.dir,
            self.options(compute),
        ))
    }

    /// The configuration and the tensors of the CLIP that the files are.
    pub(crate) fn clip(&self, compute: &Compute) -> Result<ClipCheckpoint> {
        let (folder, options) = (&self.resolved.dir, self.options(compute));
        self.named(match &self.known_clip {
            // A repository of that name may hold more than one layout; the name says which network.
            Some(known) if !self.resolved.files.contains_key("open_clip_config.json") => {
                ClipCheckpoint::open_as(known, folder, options)
            }
            _ => ClipCheckpoint::open(folder, options),
        })
    }

    /// The configuration and the tensors of the SigLIP that the files are.
    pub(crate) fn siglip(&self, compute: &Compute) -> Result<SiglipCheckpoint> {
        self.named(SiglipCheckpoint::open(
            &self.resolved.dir,
            self.options(compute),
        ))
    }

    /// Builds the Vision Transformer that the files are. `heads` is told by who knows it, for tensors
    /// alone; where it has to be guessed, `progress` gets a note.
    pub(crate) fn vit(
        &self,
        heads: Option<usize>,
        compute: &Compute,
        progress: &dyn Progress,
    ) -> Result<Vit> {
        let (path, options) = (self.path(), self.options(compute));
        let vit = self.named(match heads {
            Some(heads) => Vit::load_with_heads(path, heads, options),
            None => Vit::load(path, options),
        })?;
        if let Some(heads) = vit.guessed_heads() {
            self.note_guess(heads, progress);
        }
        Ok(vit)
    }

    /// Says that nobody said the number of heads.
    pub(crate) fn note_guess(&self, heads: usize, progress: &dyn Progress) {
        progress.note(&format!(
            "{}: the number of attention heads is guessed: {heads}, as in timm's networks of this width \
             (say another one with `--heads N`, or `heads = N` in a preset)",
            self.name
        ));
    }

    /// Refuses a number of heads for what is no Vision Transformer.
    pub(crate) fn refuse_heads(&self, heads: Option<usize>, found: Kind) -> Result<()> {
        match heads {
            None => Ok(()),
            Some(_) => self.refuse(
                found,
                "a Vision Transformer's tensors alone, whose heads can be told,",
            ),
        }
    }

    /// Tells the kind from the files that are there.
    pub(crate) fn kind(&self) -> Result<Kind> {
        let files = &self.resolved.files;
        // A configuration given by itself would lose what the files beside it say.
        let alone = Path::new(&self.name).is_file();
        let has = |name: &str| !alone && files.contains_key(name);
        if self.known_clip.is_some() {
            return Ok(Kind::Clip);
        }
        if has("open_clip_config.json") {
            let config = self.read_json(&files["open_clip_config.json"])?;
            return Ok(if is_siglip(&config) {
                Kind::Siglip
            } else {
                Kind::Clip
            });
        }
        if has("modules.json") {
            return Ok(Kind::SentenceEncoder);
        }
        if files.contains_key("bpe_simple_vocab_16e6.txt.gz") {
            return Ok(Kind::ClipVocabulary);
        }
        if let Some(config) = files.get("config.json").filter(|_| !alone) {
            return self.kind_of_config(config);
        }
        let checkpoint =
            self.named(Checkpoint::open(self.path(), self.pickle).map_err(ModelError::from))?;
        if checkpoint.contains("_conv_stem.weight") {
            Ok(Kind::EfficientNetLite)
        } else if checkpoint.contains("patch_embed.proj.weight") {
            Ok(Kind::BareVit)
        } else if checkpoint.contains("visual_encoder.cls_token") {
            Ok(Kind::OriginalBlip)
        } else {
            let message = "neither a configuration file nor tensors of a known network".into();
            self.named(Err(ModelError::Configuration {
                path: self.path().to_owned(),
                message,
            }))
        }
    }

    /// As [`kind`](Self::kind) where only the tokenizer is needed, so that nothing else need be
    /// there.
    pub(crate) fn tokenizer_kind(&self) -> Result<Kind> {
        let has = |name: &str| self.resolved.files.contains_key(name);
        let of_a_network = ["config.json", "modules.json", "open_clip_config.json"];
        let byte_pairs = has("vocab.json") && has("merges.txt");
        if self.known_clip.is_some()
            || of_a_network.into_iter().any(has)
            || !(has("tokenizer.json") || byte_pairs)
        {
            return self.kind();
        }
        let config = match self.resolved.files.get("tokenizer_config.json") {
            Some(path) => self.read_json(path)?,
            None => serde_json::Value::Null,
        };
        let class = config
            .get("tokenizer_class")
            .and_then(|class| class.as_str());
        Ok(match class {
            Some(class) if class.starts_with("CLIP") => Kind::ClipTokenizer,
            None if byte_pairs => Kind::ClipTokenizer,
            _ => Kind::Tokenizer,
        })
    }

    fn read_json(&self, path: &Path) -> Result<serde_json::Value> {
        let failed = |message: String| ModelError::Configuration {
            path: path.to_owned(),
            message,
        };
        let read = || {
            let text = read_regular(path, LARGEST_CONFIGURATION)
                .map_err(|error| failed(error.to_string()))?;
            serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))
        };
        self.named(read())
    }

    fn kind_of_config(&self, path: &Path) -> Result<Kind> {
        let config = self.read_json(path)?;
        let text = |key: &str| config.get(key).and_then(serde_json::Value::as_str);
        match (text("model_type"), text("architecture")) {
            (Some("bert"), _) => Ok(Kind::SentenceEncoder),
            (Some("vit"), _) => Ok(Kind::TransformersVit),
            (Some("blip"), _) => Ok(Kind::Blip),
            (Some("ofa"), _) => Ok(Kind::Ofa),
            (Some(clip), _) if clip.starts_with("clip") => Ok(Kind::Clip),
            _ if is_siglip(&config) => Ok(Kind::Siglip),
            (None, Some(_)) => Ok(Kind::TimmVit),
            (None, None) if config.get("blocks").is_some() => Ok(Kind::EfficientNetLite),
            (kind, _) => {
                let kind = kind.unwrap_or("none");
                let message = format!(
                    "`model_type` is {kind}; built are bert, vit, clip, siglip, blip and ofa, and the networks \
                     of timm, which have `architecture` in its place"
                );
                let path = path.to_owned();
                self.named(Err(ModelError::Configuration { path, message }))
            }
        }
    }
}

/// What the hub calls the model that the user named: open_clip's names stand for their repositories.
///
/// # Errors
/// When the name is no reference, or has weights that are not known of a known architecture.
pub fn reference(name: &str) -> Result<ModelRef> {
    reference_of(name, of_open_clip(name)?.as_ref())
}

fn reference_of(name: &str, named: Option<&Named>) -> Result<ModelRef> {
    Ok(named.map_or(name, Named::repository).parse()?)
}

/// What one of open_clip's names stands for.
enum Named {
    Clip(KnownClip),
    Siglip(KnownSiglip),
}

impl Named {
    fn repository(&self) -> &str {
        match self {
            Self::Clip(known) => &known.repository,
            Self::Siglip(known) => &known.repository,
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Clip(_) => Kind::Clip,
            Self::Siglip(_) => Kind::Siglip,
        }
    }
}

/// What is meant by one of open_clip's names. They look like hub ids; a folder of that name still
/// wins.
fn of_open_clip(name: &str) -> Result<Option<Named>> {
    if Path::new(name).exists() {
        return Ok(None);
    }
    let known = known_clip(name).map(Named::Clip);
    let known = known.or_else(|| known_siglip(name).map(Named::Siglip));
    if known.is_none()
        && let Some((architecture, tag)) = name.split_once('/')
    {
        let clips = known_clips()
            .into_iter()
            .map(|known| (known.architecture, known.tag));
        let siglips = known_siglips()
            .into_iter()
            .map(|known| (known.architecture, known.tag));
        let of_it = clips
            .chain(siglips)
            .filter(|(known, _)| known == architecture);
        let tags: Vec<String> = of_it.map(|(_, tag)| tag).collect();
        if !tags.is_empty() {
            let message = format!("no such weights; known are {}", tags.join(", "));
            return Err(EngineError::Model {
                name: name.to_owned(),
                reason: ModelError::Configuration {
                    path: tag.into(),
                    message,
                },
            });
        }
    }
    Ok(known)
}

/// Refuses a named model that is known to have no pictures for input, before it is fetched.
pub(crate) fn refuse_named_without_pictures(hub: &Hub, name: &str, needed: &str) -> Result<()> {
    let named = hub.list().into_iter().find(|model| model.name == name);
    let found = match named.map(|model| model.kind) {
        Some(ModelKind::SentenceEncoder) if !Path::new(name).exists() => Kind::SentenceEncoder,
        Some(ModelKind::Vocabulary) if !Path::new(name).exists() => Kind::ClipVocabulary,
        _ => return Ok(()),
    };
    Err(EngineError::Model {
        name: name.to_owned(),
        reason: ModelError::Configuration {
            path: name.into(),
            message: format!("{}, where {needed} is needed", found.describe()),
        },
    })
}

/// Refuses one of open_clip's names that stands for something else than what is `needed`, before
/// gigabytes are fetched. `wanted` is the kind of its names that is welcome, if one is.
pub(crate) fn refuse_open_clips_name(name: &str, wanted: Option<Kind>, needed: &str) -> Result<()> {
    match of_open_clip(name)? {
        Some(known) if Some(known.kind()) != wanted => Err(EngineError::Model {
            name: name.to_owned(),
            reason: ModelError::Configuration {
                path: known.repository().into(),
                message: format!("{}, where {needed} is needed", known.kind().describe()),
            },
        }),
        _ => Ok(()),
    }
}

impl Kind {
    /// Whether it is a Vision Transformer by itself, in any layout.
    pub(crate) fn is_vit(self) -> bool {
        matches!(self, Self::TimmVit | Self::TransformersVit | Self::BareVit)
    }

    fn describe(self) -> &'static str {
        match self {
            Self::SentenceEncoder => "a sentence encoder",
            Self::Clip => "a CLIP",
            Self::Siglip => "a SigLIP",
            Self::TimmVit | Self::TransformersVit | Self::BareVit => "a Vision Transformer",
            Self::EfficientNetLite => "an EfficientNet-Lite",
            Self::ClipVocabulary => "a vocabulary without a network",
            Self::Blip | Self::OriginalBlip => "a BLIP",
            Self::Ofa => "an OFA",
            Self::ClipTokenizer | Self::Tokenizer => "a tokenizer without a network",
        }
    }
}
