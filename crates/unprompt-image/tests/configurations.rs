//! Preprocessing configurations: what is read, and what is refused with the key's name.

use unprompt_image::{
    Alpha, CLIP_MEAN, CLIP_STD, CropRounding, Filter, HALF, ImageErrorKind, Layout, Normalize,
    Preprocessor, ResizeTarget, RgbImage, Step,
};

fn refused(outcome: unprompt_image::Result<Preprocessor>, key: &str) {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ImageErrorKind::InvalidConfig, "{error}");
    assert!(
        error.to_string().contains(key),
        "`{error}` does not name `{key}`"
    );
}

#[test]
fn missing_keys_take_the_defaults_of_their_class() {
    let clip = r#"{"image_processor_type": "CLIPImageProcessor"}"#;
    let read = Preprocessor::from_preprocessor_config(clip).unwrap();
    let target = ResizeTarget::ShortestSide(224);
    let rounding = CropRounding::Floor;
    let expected = Preprocessor {
        steps: vec![
            Step::Resize {
                target,
                filter: Filter::Bicubic,
            },
            Step::CenterCrop {
                width: 224,
                height: 224,
                rounding,
                fill: [0; 3],
            },
        ],
        rescale: Some(1.0 / 255.0),
        normalize: Some(Normalize {
            mean: CLIP_MEAN,
            std: CLIP_STD,
        }),
        alpha: Alpha::OverWhite,
    };
    assert_eq!(read, expected);
    assert_eq!(read.output_size(), Some((224, 224)));

    let vit = r#"{"image_processor_type": "ViTImageProcessorFast", "image_mean": null}"#;
    let normalize = Normalize {
        mean: HALF,
        std: HALF,
    };
    let expected = Preprocessor::squash(224, 224, Filter::Bilinear, normalize);
    assert_eq!(
        Preprocessor::from_preprocessor_config(vit).unwrap(),
        expected
    );
}

#[test]
fn nested_configurations_are_found() {
    let processor = r#"{"processor_class": "BlipProcessor", "image_processor":
        {"image_processor_type": "BlipImageProcessor", "size": {"height": 384, "width": 384}}}"#;
    let read = Preprocessor::from_preprocessor_config(processor).unwrap();
    assert_eq!(read.output_size(), Some((384, 384)));

    let open_clip = r#"{"model_cfg": {"embed_dim": 768}, "preprocess_cfg": {"size": 336}}"#;
    let read = Preprocessor::from_open_clip_config(open_clip).unwrap();
    assert_eq!(read.output_size(), Some((336, 336)));

    let timm = r#"{"architecture": "vit", "pretrained_cfg": {"input_size": [3, 384, 384]}}"#;
    let read = Preprocessor::from_timm_config(timm).unwrap();
    assert_eq!(read.output_size(), Some((384, 384)));
}

#[test]
fn hugging_face_mistakes_are_named() {
    let with = |rest: &str| {
        let json = format!(r#"{{"image_processor_type": "CLIPImageProcessor"{rest}}}"#);
        Preprocessor::from_preprocessor_config(&json)
    };
    refused(Preprocessor::from_preprocessor_config("{"), "not JSON");
    refused(Preprocessor::from_preprocessor_config("[]"), "object");
    refused(
        Preprocessor::from_preprocessor_config("{}"),
        "image_processor_type",
    );
    let other = r#"{"image_processor_type": "DetrImageProcessor"}"#;
    refused(
        Preprocessor::from_preprocessor_config(other),
        "DetrImageProcessor",
    );
    refused(with(r#", "size": 0"#), "size");
    refused(with(r#", "size": 1000000000"#), "size");
    refused(with(r#", "size": {"height": 3}"#), "size");
    refused(
        with(r#", "size": {"longest_edge": 3}"#),
        "size.longest_edge",
    );
    refused(
        with(r#", "size": {"shortest_edge": -3}"#),
        "size.shortest_edge",
    );
    refused(with(r#", "crop_size": [1, 2, 3]"#), "crop_size");
    refused(with(r#", "resample": 9"#), "resample");
    refused(with(r#", "do_resize": "yes""#), "do_resize");
    refused(with(r#", "do_pad": true"#), "do_pad");
    refused(with(r#", "image_mean": [1, 2]"#), "image_mean");
    refused(with(r#", "image_std": [0.5, 0, 0.5]"#), "image_std");
    refused(with(r#", "image_std": [1e-300, 1, 1]"#), "image_std");
}

#[test]
fn open_clip_and_timm_mistakes_are_named() {
    let open_clip = Preprocessor::from_open_clip_config;
    refused(open_clip(r#"{"mode": "L"}"#), "mode");
    refused(open_clip(r#"{"preprocess_cfg": 3}"#), "preprocess_cfg");
    refused(
        open_clip(r#"{"interpolation": "nearest"}"#),
        "interpolation",
    );
    refused(open_clip(r#"{"resize_mode": "stretch"}"#), "resize_mode");
    refused(
        open_clip(r#"{"resize_mode": "longest", "fill_color": 300}"#),
        "fill_color",
    );
    let timm = Preprocessor::from_timm_config;
    refused(timm(r#"{"input_size": [1, 224, 224]}"#), "input_size");
    refused(timm(r#"{"input_size": 224}"#), "input_size");
    refused(timm(r#"{"crop_pct": 0}"#), "crop_pct");
    refused(timm(r#"{"crop_mode": "corner"}"#), "crop_mode");
    refused(timm(r#"{"interpolation": "magic"}"#), "interpolation");
}

#[test]
fn impossible_pictures_are_errors() {
    let half = Normalize {
        mean: HALF,
        std: HALF,
    };
    let preprocessor = Preprocessor::shortest_side_crop(224, 224, Filter::Bicubic, half);
    let line = RgbImage::from_pixels(1, 16_384, vec![7; 16_384 * 3]).unwrap();
    let error = preprocessor.apply(&line, Layout::Chw).unwrap_err();
    assert_eq!(error.kind(), ImageErrorKind::InvalidArgument, "{error}");

    let mut broken = line.clone();
    broken.pixels.pop();
    let error = preprocessor.apply(&broken, Layout::Chw).unwrap_err();
    assert_eq!(error.kind(), ImageErrorKind::InvalidArgument, "{error}");
    assert!(RgbImage::from_pixels(0, 3, Vec::new()).is_err());

    let zero = Normalize {
        mean: HALF,
        std: [0.0, 1.0, 1.0],
    };
    let preprocessor = Preprocessor::squash(2, 2, Filter::Box, zero);
    let square = RgbImage::from_pixels(1, 1, vec![7; 3]).unwrap();
    let error = preprocessor.apply(&square, Layout::Hwc).unwrap_err();
    assert_eq!(error.kind(), ImageErrorKind::InvalidConfig, "{error}");
}
