use super::*;
use serde_json::json;
use std::path::Path;

fn stated(values: &serde_json::Value) -> Stated {
    let values = values.as_object().cloned().unwrap();
    Stated::of(Path::new("scheduler_config.json"), values).unwrap()
}

fn schedule(values: &serde_json::Value, kind: SchedulerKind, steps: usize) -> Result<Schedule> {
    Schedule::new(&stated(values).settings(kind)?, steps)
}

#[test]
fn steps_lie_where_the_reference_puts_them() {
    let times = |spacing: &str, kind, steps| {
        let values = json!({"timestep_spacing": spacing, "steps_offset": 1});
        schedule(&values, kind, steps).unwrap().times
    };
    let ddim = SchedulerKind::Ddim;
    assert_eq!(times("leading", ddim, 4), [751.0, 501.0, 251.0, 1.0]);
    assert_eq!(times("trailing", ddim, 4), [999.0, 749.0, 499.0, 249.0]);
    assert_eq!(times("linspace", ddim, 4), [999.0, 666.0, 333.0, 0.0]);
    let euler = SchedulerKind::Euler;
    assert_eq!(times("linspace", euler, 3), [999.0, 499.5, 0.0]);
    // Four evaluations for each of the first three steps, which the folder does not leave out here.
    let pndm = times("leading", SchedulerKind::Pndm, 5);
    let runge_kutta = [
        801.0, 701.0, 701.0, 601.0, 601.0, 501.0, 501.0, 401.0, 401.0, 301.0, 301.0, 201.0,
    ];
    assert_eq!(pndm, [&runge_kutta[..], &[201.0, 1.0]].concat());
    let dpm = SchedulerKind::Dpm2M;
    assert_eq!(times("linspace", dpm, 4), [999.0, 749.0, 500.0, 250.0]);
    assert_eq!(times("leading", dpm, 4), [801.0, 601.0, 401.0, 201.0]);
}

#[test]
fn what_is_not_built_or_asked_beyond_reason_is_an_error() {
    let refused = |values: &serde_json::Value, kind, steps| {
        schedule(values, kind, steps).unwrap_err().to_string()
    };
    let none = json!({});
    let ddim = SchedulerKind::Ddim;
    assert!(refused(&none, ddim, 0).contains("from 1 to 1000"));
    assert!(refused(&none, ddim, 1001).contains("from 1 to 1000"));
    let cases = [
        (json!({"prediction_type": "flow"}), "prediction_type"),
        (json!({"timestep_spacing": "even"}), "timestep_spacing"),
        (json!({"beta_schedule": "sigmoid"}), "beta_schedule"),
        (json!({"thresholding": true}), "thresholding"),
        (json!({"trained_betas": [0.1]}), "betas"),
        (json!({"beta_end": 7}), "betas"),
        (
            json!({"num_train_timesteps": 1u64 << 60}),
            "num_train_timesteps",
        ),
    ];
    for (values, named) in cases {
        let error = refused(&values, ddim, 4);
        assert!(error.contains(named), "{error}");
    }
    let error = refused(&json!({"solver_order": 3}), SchedulerKind::Dpm2M, 4);
    assert!(error.contains("solver_order"), "{error}");
    let pndm = SchedulerKind::Pndm;
    let error = refused(&none, pndm, 3);
    assert!(error.contains("takes 4 or more"), "{error}");
    let error = refused(&json!({"prediction_type": "sample"}), pndm, 4);
    assert!(error.contains("`sample` is none of"), "{error}");
    // One time beyond those of training.
    let error = refused(&json!({"steps_offset": 1}), ddim, 1000);
    assert!(error.contains("steps_offset"), "{error}");
}

#[test]
fn the_folder_names_its_scheduler_or_has_a_stand_in() {
    let kind = |name: &str| stated(&json!({"_class_name": name})).kind();
    assert_eq!(kind("DDIMScheduler").unwrap(), (SchedulerKind::Ddim, None));
    assert_eq!(kind("PNDMScheduler").unwrap(), (SchedulerKind::Pndm, None));
    let (found, note) = kind("LMSDiscreteScheduler").unwrap();
    assert_eq!(found, SchedulerKind::Ddim);
    assert!(note.unwrap().contains("LMSDiscreteScheduler"));
    let error = kind("FlowMatchEulerDiscreteScheduler").unwrap_err();
    assert!(error.to_string().contains("ddim, euler, "), "{error}");
}
