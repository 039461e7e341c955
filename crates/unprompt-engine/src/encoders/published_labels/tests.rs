use super::*;
use std::{
    cell::RefCell,
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use unprompt_hub::{Environment, HubOptions, Manifest, NoProgress};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const CLIP: &str = "ViT-L-14/openai";

#[derive(Default)]
struct Notes(RefCell<Vec<String>>);

impl TableProgress for Notes {
    fn start(&self, _: &str, _: usize) {}
    fn advance(&self, _: usize) {}
    fn finish(&self) {}
    fn note(&self, message: &str) {
        self.0.borrow_mut().push(message.to_owned());
    }
}

/// A hub on the loopback interface with these files; counts what it is asked.
fn serve(files: BTreeMap<&'static str, Vec<u8>>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let request = lines.next().unwrap().unwrap();
            while lines
                .next()
                .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
            {}
            let (method, path) = request.split_once(' ').unwrap();
            let path = path.split(' ').next().unwrap();
            let listing = format!("/api/models/{REPOSITORY}/revision/main");
            let resolve = format!("/{REPOSITORY}/resolve/{COMMIT}/");
            let found = if path == listing {
                let names = files
                    .keys()
                    .map(|name| format!("{{\"rfilename\": {name:?}}}"));
                let names = names.collect::<Vec<_>>().join(",");
                Some(format!("{{\"sha\": \"{COMMIT}\", \"siblings\": [{names}]}}").into_bytes())
            } else {
                path.strip_prefix(&resolve)
                    .and_then(|name| files.get(name).cloned())
            };
            let status = if found.is_some() {
                "200 OK"
            } else {
                "404 Not Found"
            };
            let body = found.unwrap_or_default();
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\
                 etag: \"some-tag-{}\"\r\nx-repo-commit: {COMMIT}\r\n\r\n",
                body.len(),
                body.len(),
            );
            // A client that has seen enough closes.
            let _ = stream.write_all(head.as_bytes());
            if method == "GET" {
                let _ = stream.write_all(&body);
            }
        }
    });
    (address, asked)
}

fn hub(endpoint: &str, cache: &std::path::Path, offline: bool) -> Hub {
    let variable = |name: &str| match name {
        "HF_ENDPOINT" => Some(endpoint.into()),
        "HF_HUB_CACHE" => Some(cache.join("hub").into()),
        "UNPROMPT_CACHE" => Some(cache.join("own").into()),
        "HF_HUB_ETAG_TIMEOUT" => Some("1".into()),
        _ => None,
    };
    let options = HubOptions {
        offline,
        ..HubOptions::default()
    };
    let environment = Environment::read(variable, None);
    Hub::new(environment, options, Manifest::builtin().unwrap().clone())
}

fn set() -> LabelSet {
    let labels = |count: usize| (0..count).map(|at| format!("label {at}")).collect();
    LabelSet::new(vec![
        LabelList::new("flavors", labels(3000)),
        LabelList::new("artists", labels(2100)),
        LabelList::new("mediums", labels(95)),
        LabelList::new("negative", labels(2500)),
    ])
}

/// The tables that are taken from what is published, and what was said.
fn fetched(hub: &Hub, clip: &str, folder: PathBuf) -> (Vec<String>, Vec<String>) {
    let notes = Notes::default();
    let cache = TableCache::new(folder, clip, "weights");
    let set = set();
    let wanted = (&set, Mode::Best);
    let cache = with_published(cache, hub, clip, wanted, 4, &NoProgress, &notes);
    let tables = set.lists().iter().map(LabelList::name);
    let found = tables.filter(|table| cache.published(table).is_some());
    (found.map(str::to_owned).collect(), notes.0.take())
}

#[test]
fn large_tables_of_named_clips_are_fetched_once() {
    let (address, asked) = serve(BTreeMap::from([
        ("ViT-L-14_openai_flavors.safetensors", vec![1; 24_000]),
        ("ViT-L-14_openai_artists.safetensors", vec![2; 16_800]),
        ("ViT-L-14_openai_mediums.safetensors", vec![3; 760]),
        ("ViT-L-14_openai_negative.safetensors", vec![4; 20_000]),
        ("ViT-B-32_openai_flavors.safetensors", vec![5; 200_000]),
    ]));
    let place = tempfile::tempdir().unwrap();
    let labels = || place.path().join("labels");
    let online = hub(&address, place.path(), false);
    // Nothing is asked of the hub where it may not be, or for a CLIP that may be any.
    let offline = hub(&address, place.path(), true);
    assert_eq!(fetched(&offline, CLIP, labels()), (vec![], vec![]));
    for other in ["org/clip", "./ViT-L-14/openai", "ViT-L-14/mine"] {
        assert_eq!(fetched(&online, other, labels()), (vec![], vec![]));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);

    let both = || vec!["artists".to_owned(), "flavors".to_owned()];
    assert_eq!(fetched(&online, CLIP, labels()), (both(), vec![]));
    let before = asked.load(Ordering::SeqCst);
    assert_eq!(fetched(&online, CLIP, labels()), (both(), vec![]));
    assert_eq!(fetched(&offline, CLIP, labels()), (both(), vec![]));
    assert_eq!(asked.load(Ordering::SeqCst), before);
    // What the folder has is not fetched.
    std::fs::create_dir(labels()).unwrap();
    std::fs::write(labels().join("ViT-L-14_openai_flavors.safetensors"), "").unwrap();
    let artists = vec!["artists".to_owned()];
    assert_eq!(fetched(&online, CLIP, labels()), (artists, vec![]));
    // One that is absent, and one that is larger than such a table is.
    let (found, notes) = fetched(&online, "ViT-B-32/openai", labels());
    assert_eq!((found.len(), notes.len()), (0, 2));
    assert!(notes[0].contains("artists: no published") && notes[0].contains("no file"));
    assert!(notes[1].contains("flavors: no published") && notes[1].contains("at most"));
}

#[test]
fn without_the_hub_one_line_says_that_labels_are_embedded_here() {
    let place = tempfile::tempdir().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let (found, notes) = fetched(
        &hub(&address, place.path(), false),
        CLIP,
        place.path().join("x"),
    );
    assert_eq!((found.len(), notes.len()), (0, 1));
    assert!(!notes[0].contains('\n'), "{notes:?}");
}
