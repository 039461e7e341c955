//! Models that are forgotten when nobody asks.

use crate::running::{Fake, wait_until};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::channel,
    },
    time::Duration,
};
use unprompt_server::{Input, LoadAgain, Models, Ready, Task, Unloading};

const IDLE: Duration = Duration::from_millis(50);

fn unloading(first: Arc<Fake>, idle: Duration, again: Box<LoadAgain>) -> Arc<Unloading> {
    let first = move || -> Result<Arc<dyn Models>, std::io::Error> { Ok(first) };
    Unloading::new(idle, first, again).unwrap()
}

fn ask(models: &Unloading) -> Result<(), String> {
    let text = vec![Ready::Given(Input::Text("a cat".into()))];
    let answer = models
        .run(&Task::EmbedText { raw: false }, text)
        .swap_remove(0);
    answer.map(|_| ()).map_err(|failure| failure.0)
}

#[test]
fn they_are_loaded_again_when_somebody_asks() {
    let loads = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&loads);
    let again: Box<LoadAgain> = Box::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(Fake::new(true))
    });
    let first = Fake::new(true);
    let held = Arc::downgrade(&first);
    let models = unloading(first, IDLE, again);
    assert!(models.is_loaded());
    ask(&models).unwrap();
    wait_until(|| !models.is_loaded());
    wait_until(|| held.upgrade().is_none());
    assert_eq!(
        models.catalog().preset,
        "lite",
        "what there is does not change"
    );
    ask(&models).unwrap();
    assert!(models.is_loaded());
    assert_eq!(loads.load(Ordering::Relaxed), 1);
    wait_until(|| !models.is_loaded());
}

#[test]
fn they_stay_as_long_as_they_are_used() {
    let again: Box<LoadAgain> = Box::new(|| Err("nobody may ask for it".into()));
    let models = unloading(Fake::new(true), Duration::from_secs(60), again);
    for _ in 0..20 {
        ask(&models).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(models.is_loaded());
}

#[test]
fn who_asks_for_models_that_are_gone_is_told() {
    let again: Box<LoadAgain> = Box::new(|| Err("the file is gone".into()));
    let models = unloading(Fake::new(true), IDLE, again);
    wait_until(|| !models.is_loaded());
    let error = ask(&models).unwrap_err();
    assert!(
        error.contains("cannot be loaded again: the file is gone"),
        "{error}"
    );
}

#[test]
fn nobody_else_waits_while_they_are_loaded_again() {
    let (began, beginning) = channel();
    let (go_on, waiting) = channel::<()>();
    let ends = Mutex::new((began, waiting));
    let again: Box<LoadAgain> = Box::new(move || {
        let ends = ends.lock().unwrap();
        ends.0.send(()).unwrap();
        ends.1.recv().unwrap();
        Ok(Fake::new(true))
    });
    let models = unloading(Fake::new(true), IDLE, again);
    wait_until(|| !models.is_loaded());
    let asked = Arc::clone(&models);
    let asking = std::thread::spawn(move || ask(&asked));
    beginning.recv().unwrap();
    let task = Task::Predict { metadata: false };
    assert!(
        !models.prepares(&task),
        "it is prepared when it is answered"
    );
    let text = Input::Text("a cat".into());
    assert!(matches!(models.prepare(&task, text), Ready::Given(_)));
    go_on.send(()).unwrap();
    asking.join().unwrap().unwrap();
}
