//! What the networks see in one picture.

use super::Members;
use crate::{InputError, Label, MemberKind, MemberSpec, Preset, Views};
use std::collections::HashMap;
use unprompt_image::{DecodeOptions, Limits, Preprocessor, RgbImage, decode};

/// What the networks see in one picture.
pub(crate) struct Seen {
    /// By the classifier's name.
    pub(super) labels: HashMap<String, Vec<Label>>,
    /// By the member's name.
    pub(super) regressions: HashMap<String, Vec<f32>>,
    /// The picture in the space of each CLIP, by its name.
    pub(super) vectors: HashMap<String, Vec<f32>>,
    /// Captions and prompts, by the member's name.
    pub(super) texts: HashMap<String, String>,
}

/// A picture's bytes, decoded once for each way in which a network wants it.
struct Picture<'a> {
    bytes: &'a [u8],
    limits: Limits,
    decoded: Vec<(DecodeOptions, RgbImage)>,
}

impl Picture<'_> {
    fn image(&mut self, preprocessor: &Preprocessor) -> Result<&RgbImage, InputError> {
        let options = preprocessor.decode_options(self.limits);
        let known = self.decoded.iter().position(|(known, _)| *known == options);
        let index = match known {
            Some(index) => index,
            None => {
                self.decoded.push((options, decode(self.bytes, &options)?));
                self.decoded.len() - 1
            }
        };
        Ok(&self.decoded[index].1)
    }
}

impl Members {
    /// Runs every network over a picture.
    pub(crate) fn see(
        &self,
        preset: &Preset,
        bytes: &[u8],
        limits: Limits,
    ) -> Result<Seen, InputError> {
        let mut seen = Seen {
            labels: HashMap::new(),
            regressions: HashMap::new(),
            vectors: HashMap::new(),
            texts: HashMap::new(),
        };
        let mut picture = Picture {
            bytes,
            limits,
            decoded: Vec::new(),
        };
        for (name, classifier) in &self.classifiers {
            let tops = preset.members.iter().map(|member| match &member.kind {
                MemberKind::LabelText { model, top } if model == name => *top,
                MemberKind::LabelMean { model, top, .. } if model == name => {
                    top.unwrap_or(usize::MAX)
                }
                _ => 0,
            });
            let image = picture.image(classifier.preprocessor())?;
            let labels = classifier.classify(image, tops.max().unwrap_or(0))?;
            seen.labels.insert(name.clone(), labels);
        }
        for spec in &preset.members {
            self.see_by(spec, &mut picture, &mut seen)?;
        }
        Ok(seen)
    }

    fn see_by(
        &self,
        spec: &MemberSpec,
        picture: &mut Picture<'_>,
        seen: &mut Seen,
    ) -> Result<(), InputError> {
        match &spec.kind {
            MemberKind::Regressor { model, tta } => {
                let regressor = &self.regressors[model];
                let image = picture.image(regressor.preprocessor())?;
                let mut embedding = regressor.embed(&[image], *tta, false)?;
                seen.regressions
                    .insert(spec.name.clone(), embedding.swap_remove(0));
            }
            MemberKind::Captioner { model, suffix, .. } => {
                let caption = self.caption(spec, model, picture)? + suffix;
                seen.texts.insert(spec.name.clone(), caption);
            }
            MemberKind::Interrogator {
                clip, captioner, ..
            } => {
                let caption = match captioner {
                    Some(model) => Some(self.caption(spec, model, picture)?),
                    None => None,
                };
                self.see_by_clip(clip, picture, seen)?;
                let vectors = std::slice::from_ref(&seen.vectors[clip]);
                let interrogator = &self.interrogators[&spec.name];
                let mut found = interrogator.interrogate_vectors(vectors, &[caption.as_deref()])?;
                if let Some(prompt) = found.swap_remove(0)?.prompt {
                    seen.texts.insert(spec.name.clone(), prompt);
                }
            }
            MemberKind::Knn { .. } => {
                if let Some(clip) = &self.knns[&spec.name].clip {
                    self.see_by_clip(clip, picture, seen)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn see_by_clip(
        &self,
        clip: &str,
        picture: &mut Picture<'_>,
        seen: &mut Seen,
    ) -> Result<(), InputError> {
        if !seen.vectors.contains_key(clip) {
            let tower = &self.pictures[clip];
            let image = picture.image(tower.preprocessor())?;
            let mut vector = tower.embed(&[image], Views::Plain, false)?;
            seen.vectors.insert(clip.to_owned(), vector.swap_remove(0));
        }
        Ok(())
    }

    fn caption(
        &self,
        spec: &MemberSpec,
        model: &str,
        picture: &mut Picture<'_>,
    ) -> Result<String, InputError> {
        let captioner = &self.captioners[model];
        let image = picture.image(captioner.preprocessor())?;
        let images = std::slice::from_ref(image);
        let mut captions = captioner.caption(images, &spec.kind.caption_options())?;
        Ok(captions.swap_remove(0).text.trim().to_owned())
    }
}
