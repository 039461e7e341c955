//! CLIP-T: how near pictures are to texts in the space of a CLIP, which looks at the pictures itself.
//!
//! The true prompts' own scores say how much the judge sees: a text that scores above them has
//! convinced the judge, and not found the prompt.

use super::{
    evaluation::ImageResult,
    truth::{TEXTS_AT_ONCE, widened},
};
use crate::{arguments::Common, progress::Bar};
use anyhow::Result;
use std::collections::HashMap;
use unprompt::{
    Compute, Hub, ImageEncoder, Progress, Source, TextEncoder, Views, eval::cosine_or_zero,
    image::Limits,
};

/// A CLIP or a SigLIP that judges.
pub(super) struct Judge {
    /// As it was named.
    pub(super) name: String,
    /// Over its files.
    pub(super) sha256: String,
    pictures: ImageEncoder,
    texts: TextEncoder,
}

impl Judge {
    pub(super) fn load(
        hub: &Hub,
        name: &str,
        compute: &Compute,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let (model, texts) = TextEncoder::load(hub, name, compute, progress)?;
        let (_, pictures) = ImageEncoder::load(hub, name, compute, progress)?;
        Ok(Self {
            name: name.to_owned(),
            sha256: model.sha256()?.to_owned(),
            pictures,
            texts,
        })
    }

    /// Gives every picture its scores. One that cannot be read a second time (standard input) or
    /// that the judge cannot take has none.
    pub(super) fn judge(
        &self,
        common: &Common,
        sources: &[Source],
        images: &mut [ImageResult],
    ) -> Result<()> {
        let by_path: HashMap<String, &Source> = sources
            .iter()
            .filter(|source| matches!(source, Source::File(_)))
            .map(|source| (source.path().to_string_lossy().into_owned(), source))
            .collect();
        let limits = Limits::default();
        let mut bar = Bar::count("judged", images.len(), common.quiet);
        let at_once = usize::from(common.batch_size).min(TEXTS_AT_ONCE);
        for images in images.chunks_mut(at_once) {
            let mut there: Vec<(&mut ImageResult, Source)> = images
                .iter_mut()
                .filter_map(|image| {
                    let source = (*by_path.get(&image.path)?).clone();
                    Some((image, source))
                })
                .collect();
            let sources: Vec<Source> = there.iter().map(|(_, source)| source.clone()).collect();
            let seen = self
                .pictures
                .embed_sources(&sources, &limits, Views::Plain, false);
            let texts: Vec<&str> = there
                .iter()
                .flat_map(|(image, _)| {
                    let truth = image.true_prompt.as_deref().unwrap_or_default();
                    [image.prompt.as_str(), truth]
                })
                .collect();
            let texts = self.texts.embed(&texts, false)?;
            for (((image, _), seen), texts) in there.iter_mut().zip(seen).zip(texts.chunks(2)) {
                let (Ok(seen), [predicted, truth]) = (seen, texts) else {
                    continue;
                };
                let seen = widened(&seen);
                let score = |text: &[f32]| cosine_or_zero(&seen, &widened(text));
                image.clip_t = Some(score(predicted));
                image.true_clip_t = image.true_prompt.is_some().then(|| score(truth));
            }
            bar.advance(there.len() as u64);
        }
        bar.finish();
        Ok(())
    }
}
