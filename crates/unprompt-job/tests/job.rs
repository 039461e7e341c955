//! Jobs without a worker: every way in which a disk can fail, and what is read again.

use serde_json::{Map, Value, json};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use unprompt_job::{
    Column, ColumnKind, Item, Job, JobError, Model, NewJob, PartFormat, Shard, Work, merge, status,
    write_clip_retrieval,
};
use unprompt_table::Table;

const ITEMS: usize = 11;
const PART_ITEMS: u64 = 4;

fn work() -> Work {
    Work {
        program: "0.1.0".into(),
        command: "predict".into(),
        settings: Map::from_iter([("preset".to_owned(), "eye".into())]),
        models: vec![Model {
            name: "tower".into(),
            sha256: "ab".repeat(32),
            dtype: "f32".into(),
        }],
        columns: vec![
            Column::new("path", ColumnKind::Text),
            Column::new("prompt", ColumnKind::Text),
            Column::new("embedding", ColumnKind::Vector(3)),
            Column::new("labels", ColumnKind::Json),
            Column::new("score", ColumnKind::Number),
        ],
    }
}

fn new(format: PartFormat) -> NewJob {
    NewJob {
        work: work(),
        inputs: Map::from_iter([("PATH".to_owned(), json!(["in"]))]),
        part_format: Some(format),
        part_items: Some(PART_ITEMS),
    }
}

fn items() -> impl Iterator<Item = Item> {
    (0..ITEMS).map(|index| Item {
        id: format!("in/{index}.png"),
        fields: Map::from_iter([("path".to_owned(), format!("in/{index}.png").into())]),
    })
}

fn record(item: &Item, index: usize) -> String {
    if index % 5 == 3 {
        return json!({"id": item.id, "path": item.fields["path"], "error": "broken"}).to_string();
    }
    let score = index as f64 / 7.0;
    let record = json!({
        "id": item.id, "path": item.fields["path"], "prompt": format!("no. {index}\n\"ü\""),
        "embedding": [index as f32 * 0.1, -0.5, 1e-7], "labels": [{"a": index}], "score": score,
    });
    record.to_string()
}

/// Goes on with a job until it is done or a step fails; the records that were made.
fn go_on(folder: &Path, format: PartFormat, steps: usize) -> (Result<(), JobError>, usize) {
    let left = Arc::new(AtomicUsize::new(steps));
    let step = move || {
        let left = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(1)
        });
        left.map(|_| ())
            .map_err(|_| io::Error::from(io::ErrorKind::StorageFull))
    };
    let mut made = 0;
    let work = || {
        let new = new(format);
        let begin = Job::open_or_begin_by(folder, &new, || Ok(items()), Box::new(step));
        let (job, _) = begin?;
        let (_lock, parts) = job.take(Shard::WHOLE)?;
        for number in parts {
            let Some(mut part) = job.open_part(number)? else {
                continue;
            };
            for place in part.done()..part.items().len() {
                let index = number * PART_ITEMS as usize + place;
                let record = record(&part.items()[place], index);
                made += 1;
                part.append(&job, &record)?;
                if index % 2 == 1 {
                    part.sync(&job)?;
                }
            }
            part.finish(&job, number)?;
        }
        merge(&job, &folder.join("merged"), |_| ())?;
        Ok(())
    };
    (work(), made)
}

/// Every file of a folder with its bytes.
fn content(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(content(&path)),
            false => found.push((path.clone(), fs::read(&path).unwrap())),
        }
    }
    found.sort();
    found
}

fn names(content: Vec<(PathBuf, Vec<u8>)>, folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let relative =
        |(path, bytes): (PathBuf, Vec<u8>)| (path.strip_prefix(folder).unwrap().to_owned(), bytes);
    content.into_iter().map(relative).collect()
}

#[test]
fn whichever_step_fails_the_job_goes_on_to_the_same_bytes() {
    for format in [PartFormat::Jsonl, PartFormat::Parquet] {
        let whole = tempfile::tempdir().unwrap();
        let (result, made) = go_on(whole.path(), format, usize::MAX);
        result.unwrap();
        assert_eq!(made, ITEMS);
        let expected = names(content(whole.path()), whole.path());
        let parts = expected
            .iter()
            .filter(|(path, _)| path.starts_with("parts"));
        assert_eq!(parts.count(), 3);

        for steps in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let (failed, before) = go_on(folder.path(), format, steps);
            if failed.is_ok() {
                assert!(steps > 40, "{steps}");
                break;
            }
            let error = failed.unwrap_err().to_string();
            assert!(
                error.contains("storage") || error.contains("space"),
                "{error}"
            );
            let (result, after) = go_on(folder.path(), format, usize::MAX);
            result.unwrap();
            // The record whose writing failed is made again, and no other.
            assert!((ITEMS..=ITEMS + 1).contains(&(before + after)), "{steps}");
            assert_eq!(
                names(content(folder.path()), folder.path()),
                expected,
                "{steps}"
            );
        }
    }
}

#[test]
fn another_job_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    go_on(folder.path(), PartFormat::Jsonl, usize::MAX)
        .0
        .unwrap();
    type Change = fn(&mut NewJob);
    let cases: [(Change, &str); 10] = [
        (|new| new.work.program = "0.2.0".into(), "version 0.1.0"),
        (
            |new| new.work.command = "caption".into(),
            "a job of `predict`",
        ),
        (
            |new| drop(new.work.settings.insert("preset".into(), "lite".into())),
            "the setting `preset` was `eye` when the job was begun, and is `lite` now",
        ),
        (
            |new| new.work.models[0].sha256 = "cd".repeat(32),
            "the weights of `tower` are not those",
        ),
        (
            |new| new.work.models[0].name = "other".into(),
            "the model `tower`",
        ),
        (|new| new.work.models.clear(), "1 models"),
        (
            |new| drop(new.inputs.insert("PATH".into(), json!(["out"]))),
            "the input `PATH` was [\"in\"]",
        ),
        (
            |new| new.part_format = Some(PartFormat::Parquet),
            "the format was jsonl",
        ),
        (|new| new.part_items = Some(5), "the size of a part was 4"),
        (|new| drop(new.work.columns.pop()), "other columns"),
    ];
    for (change, expected) in cases {
        let mut new = new(PartFormat::Jsonl);
        change(&mut new);
        let error = Job::open_or_begin(folder.path(), &new, || Ok(items())).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    // What is not said is as it was.
    let new = NewJob {
        part_format: None,
        part_items: None,
        ..new(PartFormat::Jsonl)
    };
    assert!(
        Job::open_or_begin(folder.path(), &new, || Ok(items()))
            .unwrap()
            .1
    );
}

#[test]
fn a_shard_and_a_part_have_one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let new = new(PartFormat::Jsonl);
    let (job, found) = Job::open_or_begin(folder.path(), &new, || Ok(items())).unwrap();
    assert!(!found);
    let (lock, parts) = job.take(Shard::WHOLE).unwrap();
    assert_eq!(parts, 0..3);
    let error = job.take(Shard::WHOLE).unwrap_err().to_string();
    assert!(
        error.contains("another process works on shard 1/1"),
        "{error}"
    );
    let part = job.open_part(1).unwrap().unwrap();
    // Another division of the same job meets it at the part.
    let (_other, parts) = job.take("2/3".parse().unwrap()).unwrap();
    assert_eq!(parts, 1..2);
    let error = job.open_part(1).unwrap_err().to_string();
    assert!(error.contains("in the hands of another process"), "{error}");
    drop((lock, part));
    assert!(job.open_part(1).unwrap().is_some());
    assert!(job.take(Shard::WHOLE).is_ok());
}

#[test]
fn a_job_is_merged_when_all_is_there_and_whole() {
    for format in [PartFormat::Jsonl, PartFormat::Parquet] {
        let folder = tempfile::tempdir().unwrap();
        go_on(folder.path(), format, usize::MAX).0.unwrap();
        let job = Job::open(folder.path()).unwrap();
        let found = status(&job).unwrap();
        assert!(
            found.complete && found.done == 11 && found.failed == 2,
            "{found:?}"
        );

        let out = folder.path().join("again");
        let merged = merge(&job, &out, |_| ()).unwrap();
        assert_eq!((merged.records, merged.failures), (11, 2));
        if format == PartFormat::Parquet {
            let table = Table::open(&out, fs::File::open(&out).unwrap()).unwrap();
            assert_eq!(table.rows().unwrap(), 11);
            assert_eq!(table.note("unprompt.failures"), Some("2"));
        } else {
            let text = fs::read_to_string(&out).unwrap();
            let made: Vec<String> = items()
                .enumerate()
                .map(|(index, item)| record(&item, index))
                .collect();
            assert_eq!(text.lines().collect::<Vec<_>>(), made);
        }

        // One part twice, and in the place of another.
        fs::copy(job.part_path(0), job.part_path(1)).unwrap();
        let error = merge(&job, &out, |_| ()).unwrap_err().to_string();
        assert!(
            error.contains("part-00001") && error.contains("items 5 to 8"),
            "{error}"
        );
        // A damaged one.
        let bytes = fs::read(job.part_path(0)).unwrap();
        fs::write(job.part_path(1), &bytes[..bytes.len() / 2]).unwrap();
        assert!(merge(&job, &out, |_| ()).is_err());
        // None.
        fs::remove_file(job.part_path(1)).unwrap();
        let error = merge(&job, &out, |_| ()).unwrap_err().to_string();
        assert!(error.contains("1 of 3 parts are not there yet"), "{error}");
        assert_eq!(status(&job).unwrap().done, 7);
    }
}

#[test]
fn clip_retrieval_gets_a_matrix_and_a_table() {
    for format in [PartFormat::Jsonl, PartFormat::Parquet] {
        let folder = tempfile::tempdir().unwrap();
        go_on(folder.path(), format, usize::MAX).0.unwrap();
        let job = Job::open(folder.path()).unwrap();
        let out = folder.path().join("out");
        let written = write_clip_retrieval(&job, &out, |_| ()).unwrap();
        assert_eq!((written.rows, written.width, written.left_out), (9, 3, 2));
        let matrix = fs::read(out.join("img_emb/img_emb_0.npy")).unwrap();
        assert_eq!(matrix.len(), 128 + 9 * 3 * 4);
        assert_eq!(matrix[matrix.len() - 4..], 1e-7_f32.to_le_bytes());
        let path = out.join("metadata/metadata_0.parquet");
        let table = Table::open(&path, fs::File::open(&path).unwrap()).unwrap();
        let columns: Vec<String> = table.columns().into_iter().map(|one| one.name).collect();
        assert_eq!(columns, ["id", "image_path", "caption", "labels", "score"]);
        assert_eq!(table.rows().unwrap(), 9);
    }
}

#[test]
fn what_is_no_job_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("job.json");
    let error = |expected: &str| {
        let error = Job::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    error("no job was begun here");
    for (text, expected) in [
        ("", "this is no job"),
        ("[]", "this is no job"),
        (r#"{"format":"other","version":1}"#, "this is no job"),
        (r#"{"format":"unprompt job","version":3}"#, "version 3"),
        (r#"{"format":"unprompt job","version":1}"#, "missing field"),
    ] {
        fs::write(&path, text).unwrap();
        error(expected);
    }
    fs::remove_file(&path).unwrap();
    let none = Job::open_or_begin(folder.path(), &new(PartFormat::Jsonl), || {
        Ok(std::iter::empty())
    });
    assert!(none.unwrap_err().to_string().contains("no items"));
}

/// A job as version 1 wrote it, by `fixtures/make.sh`: two whole parts, and one in work whose journal is
/// torn. Later versions read it for ever.
#[test]
fn version_1_is_read() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/version-1");
    for (name, format) in [
        ("jsonl", PartFormat::Jsonl),
        ("parquet", PartFormat::Parquet),
    ] {
        let folder = tempfile::tempdir().unwrap();
        for (path, bytes) in names(content(&fixture.join(name)), &fixture.join(name)) {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let job = Job::open(folder.path()).unwrap();
        let found = status(&job).unwrap();
        assert_eq!((found.done, found.failed, found.whole_parts), (9, 2, 2));
        let part = job.open_part(2).unwrap().unwrap();
        assert!(part.was_torn());
        drop((part, job));
        let (result, made) = go_on(folder.path(), format, usize::MAX);
        result.unwrap();
        assert_eq!(made, 2);
        let job = Job::open(folder.path()).unwrap();
        assert_eq!(
            merge(&job, &folder.path().join("out"), |_| ())
                .unwrap()
                .failures,
            2
        );
    }
}

/// Items that came after the job of `version-1` was begun, as version 2 keeps them.
fn later() -> Vec<Item> {
    let item = |name: &str| Item {
        id: format!("later/{name}.png"),
        fields: Map::from_iter([("path".to_owned(), format!("later/{name}.png").into())]),
    };
    ["a", "b", "c", "d", "e"].map(item).to_vec()
}

/// As above, with five items more in two parts of their own, one of them whole.
#[test]
fn version_2_is_read() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/version-2");
    for name in ["jsonl", "parquet"] {
        let folder = tempfile::tempdir().unwrap();
        for (path, bytes) in names(content(&fixture.join(name)), &fixture.join(name)) {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let job = Job::open(folder.path()).unwrap();
        assert_eq!((job.len(), job.parts(), job.manifest().version), (16, 5, 2));
        let found = status(&job).unwrap();
        assert_eq!(
            (found.done, found.whole_parts, found.complete),
            (15, 4, false)
        );
        let error = merge(&job, &folder.path().join("out"), |_| ()).unwrap_err();
        assert!(error.to_string().contains("items 16 to 16"), "{error}");
        let mut part = job.open_part(4).unwrap().unwrap();
        let last = record(&part.items()[0], 15);
        part.append(&job, &last).unwrap();
        part.finish(&job, 4).unwrap();
        let merged = merge(&job, &folder.path().join("out"), |_| ()).unwrap();
        assert_eq!(merged.records, 16);
    }
}

/// What comes later is added once, survives every failing step, and stands behind what was there.
#[test]
fn items_that_come_later_are_added_whole_or_not() {
    for steps in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let (result, _) = go_on(folder.path(), PartFormat::Jsonl, usize::MAX);
        result.unwrap();
        let left = Arc::new(AtomicUsize::new(steps));
        let step = move || {
            let left = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
            left.map(|_| ())
                .map_err(|_| io::Error::from(io::ErrorKind::StorageFull))
        };
        let new = new(PartFormat::Jsonl);
        let failing = Job::open_or_begin_by(folder.path(), &new, || Ok(items()), Box::new(step));
        let added = failing.and_then(|(mut job, _)| job.append(&later()));
        let mut job = Job::open(folder.path()).unwrap();
        match job.len() {
            11 => assert!(added.is_err(), "{steps}"),
            16 => {}
            other => panic!("{other} items after {steps} steps"),
        }
        let mut arrivals = job.arrivals().unwrap();
        let missing: Vec<Item> = later()
            .into_iter()
            .filter(|item| arrivals.is_new(item))
            .collect();
        assert_eq!(missing.len() as u64, 16 - job.len());
        if !missing.is_empty() {
            assert_eq!(job.append(&missing).unwrap(), 3..5);
        }
        for number in 3..5 {
            let mut part = job.open_part(number).unwrap().unwrap();
            for item in part.items().to_vec() {
                part.append(&job, &record(&item, 0)).unwrap();
            }
            part.finish(&job, number).unwrap();
        }
        let path = folder.path().join("merged");
        assert_eq!(merge(&job, &path, |_| ()).unwrap().records, 16);
        let merged = fs::read_to_string(path).unwrap();
        let ids: Vec<String> = merged
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].to_string())
            .collect();
        let expected: Vec<String> = items()
            .chain(later())
            .map(|item| Value::from(item.id).to_string())
            .collect();
        assert_eq!(ids, expected);
        if added.is_ok() {
            break;
        }
    }
}

#[test]
fn two_processes_do_not_add_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let new = new(PartFormat::Jsonl);
    let open = || {
        Job::open_or_begin(folder.path(), &new, || Ok(items()))
            .unwrap()
            .0
    };
    let (mut first, mut second) = (open(), open());
    first.append(&later()).unwrap();
    let error = second.append(&later()).unwrap_err();
    assert!(
        error.to_string().contains("another process has added"),
        "{error}"
    );
    // A list that was changed is no list.
    let path = folder.path().join("lists/00001.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("later/e", "later/f")).unwrap();
    assert!(Job::open(folder.path()).is_err());
}

/// Makes the fixtures; see `fixtures/make.sh`.
#[test]
#[ignore = "writes the fixture"]
fn make_fixture() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    for (version, name, format) in [
        (1, "jsonl", PartFormat::Jsonl),
        (1, "parquet", PartFormat::Parquet),
        (2, "jsonl", PartFormat::Jsonl),
        (2, "parquet", PartFormat::Parquet),
    ] {
        let folder = fixtures.join(format!("version-{version}")).join(name);
        if folder.exists() {
            continue;
        }
        let new = new(format);
        let (mut job, _) = Job::open_or_begin(&folder, &new, || Ok(items())).unwrap();
        if version == 2 {
            job.append(&later()).unwrap();
            for number in 0..4 {
                let mut part = job.open_part(number).unwrap().unwrap();
                for item in part.items().to_vec() {
                    part.append(&job, &record(&item, 0)).unwrap();
                }
                part.finish(&job, number).unwrap();
            }
            fs::remove_dir_all(folder.join("locks")).unwrap();
            continue;
        }
        for number in 0..3 {
            let mut part = job.open_part(number).unwrap().unwrap();
            for place in 0..part.items().len() {
                let index = number * PART_ITEMS as usize + place;
                if index == 9 {
                    break;
                }
                let record = record(&part.items()[place], index);
                part.append(&job, &record).unwrap();
            }
            if part.is_complete() {
                part.finish(&job, number).unwrap();
            }
        }
        let journal = folder.join("parts/part-00002.journal");
        let mut bytes = fs::read(&journal).unwrap();
        bytes.extend(b"0123abcd {\"id\":\"in/9");
        fs::write(&journal, bytes).unwrap();
        fs::remove_dir_all(folder.join("locks")).unwrap();
    }
}

/// The values of a record that must not change with the number of times it is written.
#[test]
fn numbers_survive_their_way_through_a_table() {
    let folder = tempfile::tempdir().unwrap();
    go_on(folder.path(), PartFormat::Parquet, usize::MAX)
        .0
        .unwrap();
    let job = Job::open(folder.path()).unwrap();
    let path = job.part_path(1);
    let table = Table::open(&path, fs::File::open(&path).unwrap()).unwrap();
    let vectors: Vec<_> = table.vectors("embedding", 3).unwrap().collect();
    let items: Vec<Item> = items().collect();
    for (place, vector) in vectors.into_iter().enumerate() {
        let record: Value = serde_json::from_str(&record(&items[4 + place], 4 + place)).unwrap();
        let expected: Option<Vec<f32>> =
            serde_json::from_value(record["embedding"].clone()).unwrap();
        let vector = vector.unwrap().filter(|vector| !vector[0].is_nan());
        assert_eq!(vector, expected);
    }
}
