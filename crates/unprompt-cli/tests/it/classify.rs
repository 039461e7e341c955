//! `unprompt classify`, as far as it comes without weights.

use crate::harness::{Place, workspace};

#[test]
fn paths_are_looked_at_before_the_model() {
    let place = Place::new();
    let run = place.run(&["classify", "missing.png", "--offline"]);
    let expected = "unprompt: missing.png: no such file or folder\n";
    assert_eq!(run.refusal(), expected);
}

#[test]
fn a_model_of_another_kind_is_refused_by_name() {
    let place = Place::new();
    let picture = workspace("examples/pictures/cat.png");
    let model = workspace("fixtures/models/tiny-sbert");
    let (picture, model) = (picture.to_str().unwrap(), model.to_str().unwrap());
    let run = place.run(&["classify", picture, "--model", model]);
    let stderr = run.refusal();
    assert!(
        stderr.starts_with(&format!("unprompt: model `{model}`: ")),
        "{stderr}"
    );
    // Its ten classes have no names here.
    let tiny = workspace("fixtures/models/tiny-efficientnet-lite/model.safetensors");
    let run = place.run(&["classify", picture, "--model", tiny.to_str().unwrap()]);
    assert!(run.refusal().starts_with("unprompt: model `"), "{run:?}");
}
