//! Who says how alike two pictures are.

use crate::progress::LoadingProgress;
use anyhow::{Result, ensure};
use unprompt::{
    Classifier, Compute, Hub, ImageEncoder, Views,
    eval::{cosine, ssim},
    image::{Filter, RgbImage, resize},
};

/// A tower of pictures.
pub(crate) struct PictureJudge {
    /// As records and the page name it.
    pub(crate) name: String,
    /// Over its files; the tower that the program carries has none.
    pub(crate) sha256: Option<String>,
    tower: Tower,
}

enum Tower {
    Clip(Box<ImageEncoder>),
    /// The features of the classifier that the program carries.
    Carried(Box<Classifier>),
}

/// How alike a picture and the one drawn from its prompt are.
pub(crate) struct Likeness {
    /// Of the judge's vectors.
    pub(crate) cosine: f64,
    /// Of the pixels, the first picture brought to the size of the second; `None` below 11 pixels.
    pub(crate) ssim: Option<f64>,
}

impl PictureJudge {
    /// The one that is asked for, else the smallest CLIP of the shared cache, else the carried tower.
    pub(crate) fn load(
        hub: &Hub,
        asked: Option<&str>,
        compute: &Compute,
        progress: &LoadingProgress,
    ) -> Result<Self> {
        let clip = |name: &str| -> Result<Self> {
            let (model, encoder) = ImageEncoder::load(hub, name, compute, progress)?;
            Ok(Self {
                name: name.to_owned(),
                sha256: Some(model.sha256()?.to_owned()),
                tower: Tower::Clip(Box::new(encoder)),
            })
        };
        if let Some(name) = asked {
            return clip(name);
        }
        let mut here = hub.list();
        here.retain(|model| model.installed && model.name.to_lowercase().contains("clip"));
        here.sort_by_key(|model| model.bytes_on_disk);
        // A list of words or half a CLIP has the name too, and is no judge.
        match here.iter().find_map(|model| clip(&model.name).ok()) {
            Some(judge) => Ok(judge),
            None => Ok(Self {
                name: "the carried EfficientNet-Lite0, for want of a CLIP".to_owned(),
                sha256: None,
                tower: Tower::Carried(Box::new(Classifier::carried()?)),
            }),
        }
    }

    pub(crate) fn compare(&self, picture: &RgbImage, drawn: &RgbImage) -> Result<Likeness> {
        let vectors = match &self.tower {
            Tower::Clip(encoder) => encoder.embed(&[picture, drawn], Views::Plain, false)?,
            Tower::Carried(tower) => vec![tower.features(picture)?, tower.features(drawn)?],
        };
        ensure!(
            vectors.len() == 2,
            "the judge gave {} vectors for 2 pictures",
            vectors.len()
        );
        let wide = |vector: &[f32]| -> Vec<f64> { vector.iter().copied().map(f64::from).collect() };
        let sized = resize(picture, drawn.width, drawn.height, Filter::Bicubic)?;
        let (width, height) = (drawn.width as usize, drawn.height as usize);
        Ok(Likeness {
            cosine: cosine(&wide(&vectors[0]), &wide(&vectors[1])).unwrap_or(0.0),
            ssim: ssim(&sized.pixels, &drawn.pixels, width, height),
        })
    }
}
