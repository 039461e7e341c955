//! Files of label embeddings: those of clip-interrogator, our own, and broken ones.

mod common;

use common::{fixture, model};
use std::{cell::RefCell, fs, path::Path};
use unprompt_checkpoint::{Checkpoint, Pickle};
use unprompt_interrogate::{Behaviour, LabelList, LabelSet, LabelTable, TableCache, TableProgress};

/// Remembers what was made and said.
#[derive(Default)]
struct Heard {
    made: RefCell<Vec<String>>,
    labels: RefCell<usize>,
    notes: RefCell<Vec<String>>,
}

impl TableProgress for Heard {
    fn start(&self, table: &str, _: usize) {
        self.made.borrow_mut().push(table.to_owned());
    }
    fn advance(&self, labels: usize) {
        *self.labels.borrow_mut() += labels;
    }
    fn finish(&self) {}
    fn note(&self, message: &str) {
        self.notes.borrow_mut().push(message.to_owned());
    }
}

fn flavors() -> LabelList {
    let set = LabelSet::read(&fixture("labels"), Behaviour::Fixed).unwrap();
    let flavors = set.lists().iter().find(|list| list.name() == "flavors");
    flavors.unwrap().clone()
}

fn cache(folder: &Path) -> TableCache {
    TableCache::new(folder.to_owned(), "ViT-B-32/tiny", "these weights")
}

/// The similarities of the table with a picture, whether it was made, and what was said.
fn load(list: LabelList, cache: Option<&TableCache>) -> (Vec<f32>, bool, Vec<String>) {
    let heard = Heard::default();
    let count = list.labels().len();
    let table = LabelTable::load(list, &model().encoder(), cache, &heard).unwrap();
    let picture = model().pictures(&["cat.png"]).swap_remove(0);
    let similarities = table.similarities(&[&picture]).unwrap().swap_remove(0);
    assert_eq!(similarities.len(), count);
    let made = !heard.made.borrow().is_empty();
    assert_eq!(*heard.labels.borrow(), if made { count } else { 0 });
    (similarities, made, heard.notes.take())
}

#[test]
fn a_file_of_the_package_is_used_and_one_of_ours_is_like_it() {
    let folder = tempfile::tempdir().unwrap();
    let cache = cache(folder.path());
    let path = cache.path("flavors");
    assert!(path.ends_with("ViT-B-32_tiny_flavors.safetensors"));
    let (ours, made, notes) = load(flavors(), Some(&cache));
    assert_eq!((made, notes), (true, vec![]));
    // A second run finds it.
    assert_eq!(load(flavors(), Some(&cache)), (ours.clone(), false, vec![]));
    // The tensors are those of the package, up to the last bit of half precision.
    let [own, package] = [&path, &fixture("flavors.safetensors")]
        .map(|path| Checkpoint::open(path, Pickle::Deny).unwrap());
    let hash = |file: &Checkpoint| file.tensor("hash").unwrap().data().unwrap().into_owned();
    assert_eq!(hash(&own), hash(&package));
    assert_eq!(hash(&own), flavors().sha256().into_bytes());
    let shape = package.tensor("embeds").unwrap().shape;
    let rows = |file: &Checkpoint| file.tensor_f32("embeds", shape).unwrap();
    for (ours, theirs) in rows(&own).iter().zip(rows(&package)) {
        assert!((ours - theirs).abs() < 1e-3, "{ours}, {theirs}");
    }
    // The package's own file, which does not name its weights.
    fs::copy(fixture("flavors.safetensors"), &path).unwrap();
    let (theirs, made, notes) = load(flavors(), Some(&cache));
    assert_eq!((made, notes), (false, vec![]));
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert!((ours - theirs).abs() < 2e-3, "{ours}, {theirs}");
    }
    // Without a cache it is the same.
    assert_eq!(load(flavors(), None), (ours, true, vec![]));
}

#[test]
fn a_published_file_is_used_where_the_folder_has_none_and_proves_its_weights() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, _, _) = load(flavors(), None);
    let published = folder.path().join("published");
    fs::copy(fixture("flavors.safetensors"), &published).unwrap();
    let cache = |name: &str| {
        let cache = cache(&folder.path().join(name));
        cache.with_published("flavors", published.clone())
    };
    let (theirs, made, notes) = load(flavors(), Some(&cache("a")));
    assert_eq!((made, notes), (false, vec![]));
    assert_ne!(theirs, ours);
    assert!(!folder.path().join("a").exists());
    // One in the folder comes first.
    load(
        flavors(),
        Some(&TableCache::new(
            folder.path().join("b"),
            "ViT-B-32/tiny",
            "these weights",
        )),
    );
    assert_eq!(
        load(flavors(), Some(&cache("b"))),
        (ours.clone(), false, vec![])
    );
    // One that claims to be of these weights proves it like any other; one of another list or
    // broken is not used.
    let rows = vec![0.25f32; flavors().labels().len() * 32];
    let halves: Vec<u8> = rows
        .iter()
        .flat_map(|value| half::f16::from_f32(*value).to_le_bytes())
        .collect();
    let hash = flavors().sha256();
    let view = safetensors::tensor::TensorView::new;
    let shape = vec![flavors().labels().len(), 32];
    let tensors = [
        (
            "embeds",
            view(safetensors::Dtype::F16, shape, &halves).unwrap(),
        ),
        (
            "hash",
            view(safetensors::Dtype::I8, vec![64], hash.as_bytes()).unwrap(),
        ),
    ];
    let claim = [("unprompt_weights".to_owned(), "these weights".to_owned())];
    let claim = safetensors::serialize(tensors, Some(claim.into())).unwrap();
    let other = LabelList::new("flavors", flavors().labels()[1..].to_vec());
    for (name, bytes, list) in [
        ("c", claim, flavors()),
        (
            "d",
            fs::read(fixture("flavors.safetensors")).unwrap(),
            other,
        ),
        ("e", b"<html>not found</html>".to_vec(), flavors()),
    ] {
        fs::write(&published, bytes).unwrap();
        let expected = load(list.clone(), None).0;
        let (found, made, notes) = load(list, Some(&cache(name)));
        assert_eq!((found, made), (expected, true), "{name}");
        assert!(
            notes.len() == 1 && notes[0].contains("made again"),
            "{notes:?}"
        );
        assert!(notes[0].contains("published"), "{notes:?}");
    }
}

#[test]
fn what_is_broken_or_of_something_else_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let cache = cache(folder.path());
    let path = cache.path("flavors");
    let (expected, _, _) = load(flavors(), Some(&cache));
    let good = fs::read(&path).unwrap();
    let package = fs::read(fixture("flavors.safetensors")).unwrap();
    let mut scrambled = package.clone();
    // The hash is at the end.
    let end = scrambled.len() - 64;
    scrambled[end - 8000..end].reverse();
    let other_weights = {
        let cache = TableCache::new(folder.path().to_owned(), "ViT-B-32/tiny", "other weights");
        fs::remove_file(&path).unwrap();
        load(flavors(), Some(&cache));
        fs::read(&path).unwrap()
    };
    let fewer = {
        let list = LabelList::new("flavors", flavors().labels()[1..].to_vec());
        load(list, Some(&cache));
        fs::read(&path).unwrap()
    };
    let mut cases = vec![
        ("empty", Vec::new()),
        ("no header", b"not a file of tensors".to_vec()),
        ("cut short", good[..good.len() - 1].to_vec()),
        ("scrambled", scrambled),
        ("other weights", other_weights),
        ("another list", fewer),
    ];
    // A bit, zeros or noise in the numbers: another prompt, and nothing else would show it.
    let numbers = good.len() - 64 - flavors().labels().len() * 32 * 2..good.len() - 64;
    for at in [numbers.start, numbers.start + 4001, numbers.end - 1] {
        let mut flipped = good.clone();
        flipped[at] ^= 4;
        cases.push(("one bit", flipped));
    }
    let mut zeros = good.clone();
    zeros[numbers.clone()].fill(0);
    cases.push(("zeros", zeros));
    let mut shuffled = good.clone();
    shuffled[numbers].rotate_left(64);
    cases.push(("rows of others", shuffled));
    cases.extend((1..6).map(|part| ("cut", good[..good.len() * part / 6].to_vec())));
    for (what, bytes) in cases {
        fs::write(&path, &bytes).unwrap();
        let (found, made, notes) = load(flavors(), Some(&cache));
        assert_eq!((found, made), (expected.clone(), true), "{what}");
        assert_eq!(notes.len(), 1, "{what}: {notes:?}");
        assert!(notes[0].contains("it is made again"), "{what}: {notes:?}");
        assert_eq!(fs::read(&path).unwrap(), good, "{what}");
    }
    // Nothing else is left behind.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn where_nothing_can_be_kept_the_labels_are_embedded_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let (found, made, notes) = load(flavors(), Some(&cache(&file.join("below"))));
    assert!(made && notes.len() == 1, "{notes:?}");
    assert_eq!(found, load(flavors(), None).0);
}

#[test]
fn hostile_label_files_are_handled() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.txt");
    let long = "word ".repeat(2000);
    let endless = "x".repeat((1 << 20) + 1);
    let text = [
        b"glass\n\n\nglass\n\xff\xfe\n",
        long.as_bytes(),
        b"\n",
        endless.as_bytes(),
        b"\nfire",
    ]
    .concat();
    fs::write(&path, text).unwrap();
    for behaviour in [Behaviour::Fixed, Behaviour::Compat060] {
        let list = LabelList::read(&path, behaviour).unwrap();
        assert_eq!(list.labels().len(), 8);
        assert!(list.note().is_some());
        let (similarities, _, _) = load(list.clone(), None);
        assert!(similarities.iter().all(|value| value.is_finite()));
        let table = LabelTable::load(list, &model().encoder(), None, &Heard::default()).unwrap();
        let picture = model().pictures(&["cat.png"]).swap_remove(0);
        let ranked = table.rank(&picture, 100).unwrap();
        assert_eq!(
            ranked.len(),
            if behaviour == Behaviour::Fixed { 2 } else { 7 }
        );
    }
}

/// Ends the run after so many labels, as a kill would.
struct Killed(usize, RefCell<usize>);

impl TableProgress for Killed {
    fn start(&self, _: &str, _: usize) {}
    fn advance(&self, labels: usize) {
        *self.1.borrow_mut() += labels;
        assert!(*self.1.borrow() < self.0, "killed");
    }
    fn finish(&self) {}
    fn note(&self, _: &str) {}
}

#[test]
fn a_large_table_goes_on_where_it_was_stopped_and_ends_in_the_same_bytes() {
    let words = flavors().labels().to_vec();
    let labels: Vec<String> = (0..5000)
        .map(|at| format!("{} {}", words[at % 120], words[at / 120]))
        .collect();
    let list = || LabelList::new("flavors", labels.clone());
    let folder = tempfile::tempdir().unwrap();
    let whole = cache(&folder.path().join("whole"));
    LabelTable::load(list(), &model().encoder(), Some(&whole), &Heard::default()).unwrap();
    let expected = fs::read(whole.path("flavors")).unwrap();

    let stopped = cache(&folder.path().join("stopped"));
    let entries = || {
        let entries = fs::read_dir(folder.path().join("stopped")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.collect::<Vec<_>>()
    };
    let kill = |labels: usize| {
        let killed = Killed(labels, RefCell::new(0));
        let run = std::panic::AssertUnwindSafe(|| {
            LabelTable::load(list(), &model().encoder(), Some(&stopped), &killed).map(drop)
        });
        assert!(std::panic::catch_unwind(run).is_err());
    };
    // Killed in the first block, then in the second: both are kept.
    kill(1);
    assert!(!stopped.path("flavors").exists());
    kill(2049);
    let unfinished = entries();
    assert_eq!(unfinished.len(), 1);
    let bytes = fs::read(&unfinished[0]).unwrap();
    assert!(bytes.len() > 4096 * 2 * 32, "{}", bytes.len());
    // Damage costs the blocks from there on.
    for damage in [None, Some(bytes.len() - 1), Some(bytes.len() / 3), Some(2)] {
        let mut bytes = bytes.clone();
        if let Some(at) = damage {
            bytes[at] ^= 1;
        }
        fs::write(&unfinished[0], bytes).unwrap();
        let (similarities, made, notes) = load(list(), Some(&stopped));
        assert!(made && similarities.len() == 5000);
        assert_eq!(notes, [""; 0]);
        assert_eq!(entries(), [stopped.path("flavors")]);
        assert_eq!(fs::read(stopped.path("flavors")).unwrap(), expected);
        fs::remove_file(stopped.path("flavors")).unwrap();
    }
    // Of other weights: begun anew.
    kill(2049);
    let other = TableCache::new(folder.path().join("stopped"), "ViT-B-32/tiny", "others");
    load(list(), Some(&other));
    let (_, made, _) = load(list(), Some(&other));
    assert!(!made);
}
