//! Jobs through the real program, with the default preset, which needs no weights.

use crate::harness::{Place, Run, json, json_lines, keys, workspace};
use serde_json::Value;
use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A square picture as the simplest BMP; the width is a multiple of four.
pub(crate) fn bmp(side: i32, pixels: &[[u8; 3]]) -> Vec<u8> {
    let length = 3 * pixels.len() as u32;
    let mut bytes = b"BM".to_vec();
    for number in [54 + length, 0, 54, 40] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(side.to_le_bytes());
    bytes.extend(side.to_le_bytes());
    bytes.extend([1, 0, 24, 0]);
    bytes.extend([0; 24]);
    bytes.extend(pixels.as_flattened());
    bytes
}

/// One with a `shade` from 0 to 255.
fn picture(shade: u8) -> Vec<u8> {
    let pixel = |pixel: u8| [shade, shade.wrapping_mul(3), pixel.wrapping_mul(shade)];
    bmp(8, &(0..64).map(pixel).collect::<Vec<_>>())
}

/// A place with pictures in `in`, every 20th of which is broken.
fn place(pictures: usize) -> Place {
    let place = Place::new();
    for index in 0..pictures {
        let bytes = match index % 20 {
            7 => b"BM, but no picture".to_vec(),
            _ => picture(index as u8),
        };
        place.write(&format!("in/{index:04}.bmp"), bytes);
    }
    place
}

fn command(place: &Place, more: &[&str]) -> Command {
    let arguments = [&["predict", "--offline", "--quiet"], more].concat();
    let mut command = place.command(&arguments);
    command.env_remove("UNPROMPT_PRESET");
    command
}

fn predict(place: &Place, more: &[&str]) -> Run {
    place.finish(&mut command(place, more))
}

/// The merged records of a job in jsonl, without their times.
fn merged(place: &Place, folder: &str) -> Vec<Value> {
    let run = place.run(&["merge", folder, "--quiet"]);
    run.output();
    let mut records = json_lines(&place.read(&format!("{folder}/merged.jsonl")));
    for record in &mut records {
        record.as_object_mut().unwrap().remove("elapsed_ms");
    }
    records
}

#[test]
fn a_job_makes_the_records_of_the_command() {
    let place = place(40);
    let plain = predict(&place, &["in", "--format", "jsonl"]);
    let (plain, _) = plain.failures();
    let plain = json_lines(plain);
    for format in ["jsonl", "parquet"] {
        let folder = format!("job-{format}");
        let arguments = [
            "in",
            "--job",
            &folder,
            "--format",
            format,
            "--part-size",
            "16",
        ];
        let run = predict(&place, &arguments);
        let (stdout, stderr) = run.failures();
        assert_eq!((stdout, stderr.len()), ("", 2));
        assert!(stderr[0].contains("in/0007.bmp"), "{stderr:?}");
        let parts = [0, 1, 2].map(|part| format!("part-0000{part}.{format}"));
        assert_eq!(place.names_in(&format!("{folder}/parts")), parts);
        // Once more there is nothing to do, and the exit code is the same.
        let again = predict(&place, &arguments);
        assert_eq!(again.failures(), ("", vec![]));

        let status = place.run(&["job", "status", &folder, "--json"]);
        let status = json(status.output());
        assert_eq!(
            (&status["done"], &status["failed"]),
            (&40.into(), &2.into())
        );
        assert_eq!(status["complete"], true);
    }
    let records = merged(&place, "job-jsonl");
    assert_eq!(records.len(), 40);
    for (record, plain) in records.iter().zip(&plain) {
        assert_eq!(record["id"], plain["path"]);
        for key in ["path", "prompt", "source", "embedding", "error"] {
            assert_eq!(record.get(key), plain.get(key), "{key}");
        }
    }
    assert_eq!(keys(&records[7]), ["error", "id", "path"]);

    // The table says the same; `status` and `merge` have words for people too.
    let run = place.run(&["merge", "job-parquet", "--out", "all.parquet", "--quiet"]);
    assert_eq!(
        run.output(),
        "all.parquet: 40 records, 2 of failures among them\n"
    );
    assert!(
        fs::read(place.path("all.parquet"))
            .unwrap()
            .starts_with(b"PAR1")
    );
    let run = place.run(&["job", "status", "job-parquet"]);
    let expected = "predict: 40 of 40 done (100.0 %), 2 failed, 3 of 3 parts whole; `unprompt merge job-parquet`\n";
    assert_eq!(run.output(), expected);
    let arguments = [
        "merge",
        "job-parquet",
        "--layout",
        "clip-retrieval",
        "--out",
        "layout",
    ];
    let run = place.run(&[&arguments[..], &["--quiet", "--format", "json"]].concat());
    let written = json(run.output());
    assert_eq!(
        (&written["records"], &written["failures"]),
        (&38.into(), &2.into())
    );
    let matrix = fs::read(place.path("layout/img_emb/img_emb_0.npy")).unwrap();
    assert_eq!(matrix.len(), 128 + 38 * 384 * 4);
}

/// The first record that has an embedding after a merge of a parquet job is read in `unprompt-job`.
#[test]
fn shards_in_any_order_are_the_whole() {
    let place = place(50);
    let one = predict(
        &place,
        &[
            "in",
            "--job",
            "one",
            "--format",
            "jsonl",
            "--part-size",
            "7",
        ],
    );
    one.failures();
    let shard = |shard: &str| {
        let arguments = [
            "in",
            "--job",
            "three",
            "--format",
            "jsonl",
            "--part-size",
            "7",
        ];
        command(&place, &[&arguments[..], &["--shard", shard]].concat())
    };
    // All at once.
    let children: Vec<Child> = ["2/3", "3/3", "1/3"]
        .iter()
        .map(|name| shard(name).stderr(Stdio::null()).spawn().unwrap())
        .collect();
    for mut child in children {
        assert!(
            child
                .wait()
                .unwrap()
                .code()
                .is_some_and(|code| code == 0 || code == 2)
        );
    }
    assert_eq!(merged(&place, "three"), merged(&place, "one"));
    // Others than it was begun with find nothing to do.
    let rest = predict(&place, &["in", "--job", "three", "--shard", "1/2"]);
    assert_eq!(rest.code, 2);
    let run = predict(&place, &["in", "--job", "x", "--shard", "4/3"]);
    assert!(run.refusal().contains("I/N"), "{run:?}");
}

#[test]
fn what_would_be_another_job_is_refused_by_name() {
    let place = place(3);
    let preset = workspace("crates/unprompt-engine/presets/lite.toml");
    place.copy(&preset, "mine.toml");
    let arguments = ["in", "--job", "job", "--preset", "mine.toml"];
    assert_eq!(predict(&place, &arguments).code, 0);
    place.write("list.txt", "in/0000.bmp\n");
    let cases: &[(&[&str], &str)] = &[
        (
            &["in", "--job", "job"],
            "the setting `preset` was `mine.toml`",
        ),
        (
            &["in/0000.bmp", "--job", "job", "--preset", "mine.toml"],
            "the input `PATH`",
        ),
        (
            &[
                "in",
                "--job",
                "job",
                "--preset",
                "mine.toml",
                "--exclude",
                "*.gif",
            ],
            "the input `--exclude`",
        ),
        (
            &[
                "--from",
                "list.txt",
                "--job",
                "job",
                "--preset",
                "mine.toml",
            ],
            "the input `--from`",
        ),
        (
            &[
                "in",
                "--job",
                "job",
                "--preset",
                "mine.toml",
                "--no-metadata",
            ],
            "the setting `metadata` was true",
        ),
        (
            &[
                "in",
                "--job",
                "job",
                "--preset",
                "mine.toml",
                "--format",
                "jsonl",
            ],
            "the format was parquet",
        ),
        (
            &["in", "--job", "job", "--format", "csv"],
            "a job writes jsonl or parquet",
        ),
        (&["in", "--job", "job", "--out", "x"], "unprompt merge"),
        (&["in", "--job", "new", "--resume"], "no job was begun"),
        (&["in", "--job", "job", "--sidecar", "skip"], "--sidecar"),
        (&["in", "--from", "list.txt"], "--job"),
        (&["-", "--job", "new"], "standard input"),
        (&["none", "--job", "new"], "no such file"),
        (&["in", "--job", "new", "--exclude", "["], "--exclude"),
        (&["in", "--job", "new", "--exclude", "*"], "no items"),
        (&["in", "--job", "new", "--preset", "nosuch"], "nosuch"),
        (&["--job", "new"], "<PATH>"),
    ];
    for (arguments, named) in cases {
        let run = predict(&place, arguments);
        assert!(run.refusal().contains(named), "{arguments:?}: {run:?}");
    }
    // The preset by the same name is another one.
    let text = place.read("mine.toml");
    place.write("mine.toml", format!("{text}\n# changed\n"));
    let run = predict(&place, &arguments);
    assert!(run.refusal().contains("`preset (SHA-256)`"), "{run:?}");
    place.write("mine.toml", text);
    assert_eq!(predict(&place, &arguments).code, 0);
    // From elsewhere the same names are other files.
    let job = place.path("job");
    let mut elsewhere = command(&place, &["in", "--job", job.to_str().unwrap(), "--preset"]);
    elsewhere.arg(place.path("mine.toml"));
    place.copy(&place.path("in/0000.bmp"), "other/in/0000.bmp");
    elsewhere.current_dir(place.path("other"));
    let run = place.finish(&mut elsewhere);
    assert!(run.refusal().contains("was"), "{run:?}");
    for arguments in [["merge", "in"], ["merge", "none"]] {
        assert!(place.run(&arguments).refusal().contains("no job"));
    }
    assert!(
        place
            .run(&["job", "status", "in"])
            .refusal()
            .contains("no job")
    );
}

#[test]
fn pictures_in_archives_tables_and_lists() {
    let place = place(3);
    let fixtures = workspace("crates/unprompt-data/tests/fixtures/stored");
    for name in [
        "pictures.tar",
        "bytes.parquet",
        "paths.parquet",
        "hugging-face.parquet",
    ] {
        place.copy(&fixtures.join(name), &format!("data/{name}"));
    }
    place.copy(&fixtures.join("red.png"), "data/red.png");
    let list = "in/0000.bmp\n\ndata/pictures.tar\ndata/bytes.parquet\nin/missing.bmp\n";
    place.write("list.txt", list);
    let arguments = [
        "--from",
        "list.txt",
        "data/paths.parquet",
        "data/hugging-face.parquet",
    ];
    let arguments = [&arguments[..], &["--job", "job", "--format", "jsonl"]].concat();
    let run = predict(&place, &arguments);
    let (_, stderr) = run.failures();
    let records = merged(&place, "job");
    let described: Vec<(&str, &str)> = records
        .iter()
        .map(|record| {
            let text = |key: &str| record[key].as_str().unwrap_or_default();
            (text("path"), text("error"))
        })
        .collect();
    let expected = [
        ("data/red.png", ""),
        ("data/paths.parquet/1", "the name leads out of its folder"),
        ("data/hugging-face.parquet/0", ""),
        ("data/hugging-face.parquet/1", "no picture"),
        ("in/0000.bmp", ""),
        ("data/pictures.tar/deep/red.png", ""),
        ("data/pictures.tar/green.v2.PNG", ""),
        ("data/pictures.tar/link.png", "not a file but a link"),
        (
            "data/pictures.tar/../outside.png",
            "the name leads out of its folder",
        ),
        (
            "data/pictures.tar/deep/red.png",
            "its name stands in the list a second time",
        ),
        ("data/bytes.parquet/0", ""),
        ("data/bytes.parquet/1", "no picture"),
        ("data/bytes.parquet/2", ""),
    ];
    assert_eq!(described[..expected.len()], expected);
    assert_eq!(described.len(), expected.len() + 1);
    assert!(described[13].1.contains("cannot be read"), "{described:?}");
    assert_eq!(stderr.len(), 7);
    // The same picture is the same record, wherever it lies.
    for place in [2, 5, 10] {
        assert_eq!(records[place]["embedding"], records[0]["embedding"]);
    }
    let ids: Vec<&str> = records.iter().map(|r| r["id"].as_str().unwrap()).collect();
    assert_eq!(ids[9], "data/pictures.tar/deep/red.png#2");
}

#[test]
fn damaged_archives_and_tables_cost_themselves() {
    let place = place(1);
    let fixtures = workspace("crates/unprompt-data/tests/fixtures");
    let table = fs::read(fixtures.join("stored/bytes.parquet")).unwrap();
    place.write("bad/cut.parquet", &table[..table.len() - 9]);
    let mut footer = table.clone();
    let place_of_length = footer.len() - 8;
    footer[place_of_length..place_of_length + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    place.write("bad/footer.parquet", footer);
    place.write("bad/text.parquet", "no table");
    for name in ["bomb/a", "noise/a", "cut/a"] {
        let from = fixtures.join(format!("hostile/{name}.tar"));
        place.copy(&from, &format!("bad/{}.tar", name.replace('/', "-")));
    }
    let names = place.names_in("bad");
    let paths: Vec<String> = names.iter().map(|name| format!("bad/{name}")).collect();
    let mut arguments: Vec<&str> = paths.iter().map(String::as_str).collect();
    arguments.extend(["in", "--job", "job", "--format", "jsonl"]);
    let run = predict(&place, &arguments);
    let (_, told) = run.failures();
    assert_eq!(told.len(), 6, "{run:?}");
    for line in told {
        let (path, why) = line.split_once(": ").unwrap().1.split_once(": ").unwrap();
        assert!(!why.contains(path) && why.is_ascii(), "{line}");
    }
    let records = merged(&place, "job");
    let good: Vec<&str> = records
        .iter()
        .filter(|record| record.get("error").is_none())
        .map(|record| record["path"].as_str().unwrap())
        .collect();
    assert_eq!(good, ["bad/cut-a.tar/good.jpg", "in/0000.bmp"]);
}

#[test]
fn other_commands_are_jobs_too() {
    let place = place(3);
    let model = |name: &str| {
        let path = workspace("fixtures/models").join(name);
        path.to_str().unwrap().to_owned()
    };
    let (blip, clip) = (model("tiny-blip"), model("tiny-clip"));
    let vit = model("tiny-vit-timm");
    place.write("labels/flavors.txt", "glass\nfire\n");
    let cases: &[(&[&str], &[&str])] = &[
        (
            &["caption", "in", "--model", &blip],
            &["caption", "id", "path", "score", "token_ids"],
        ),
        (
            &["classify", "in", "--model", &vit, "--top", "2"],
            &["id", "labels", "path"],
        ),
        (
            &["embed", "image", "in", "--model", &clip],
            &["embedding", "id", "path"],
        ),
        (
            &[
                "interrogate",
                "in",
                "--clip",
                &clip,
                "--labels",
                "labels",
                "--caption",
                "a cat",
                "--mode",
                "fast",
            ],
            &["caption", "id", "mode", "path", "prompt", "similarity"],
        ),
    ];
    for (index, (arguments, expected)) in cases.iter().enumerate() {
        let plain = place.run(&[arguments, &["--quiet", "--format", "jsonl"][..]].concat());
        let plain = json_lines(plain.output());
        for format in ["jsonl", "parquet"] {
            let folder = format!("job-{index}-{format}");
            let job = ["--quiet", "--format", format, "--job", &folder];
            place.run(&[arguments, &job[..]].concat()).output();
            place.run(&["merge", &folder, "--quiet"]).output();
            if format == "parquet" {
                continue;
            }
            for (record, plain) in merged(&place, &folder).iter_mut().zip(&plain) {
                assert_eq!(keys(record), *expected);
                record.as_object_mut().unwrap().remove("id");
                assert_eq!(record, plain);
            }
        }
    }
}

/// Processes whose parent is this one.
#[cfg(target_os = "linux")]
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(id) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let rest = stat.rsplit(')').next().unwrap_or_default();
        let parent_of = rest
            .split_whitespace()
            .nth(1)
            .and_then(|id| id.parse().ok());
        if parent_of == Some(parent) {
            found.push(id);
        }
    }
    found
}

pub(crate) fn wait_for(what: &str, mut found: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !found() {
        assert!(
            begin.elapsed() < Duration::from_secs(120),
            "{what} does not come"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn signal(name: &str, id: u32) {
    let kill = Command::new("kill").args([name, &id.to_string()]).status();
    assert!(kill.unwrap().success());
}

fn done(place: &Place, folder: &str) -> u64 {
    let status = place.run(&["job", "status", folder, "--json"]);
    json(status.output())["done"].as_u64().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn a_picture_that_hangs_or_kills_its_worker_costs_its_own_record() {
    let place = place(6);
    // Whoever opens a pipe for reading waits for a writer.
    for name in ["pipe-a", "pipe-b"] {
        let made = Command::new("mkfifo").arg(place.path(name)).status();
        assert!(made.unwrap().success());
    }
    let list = "in/0000.bmp\nin/0001.bmp\npipe-a\nin/0002.bmp\npipe-b\nin/0003.bmp\n";
    place.write("list.txt", list);
    let arguments = ["--from", "list.txt", "--job", "hang", "--format", "jsonl"];
    let run = predict(&place, &[&arguments[..], &["--time-limit", "5s"]].concat());
    let (_, stderr) = run.failures();
    assert_eq!(stderr.len(), 2, "{stderr:?}");
    assert!(
        stderr[0].contains("pipe-a: nothing came of it within 5 s"),
        "{stderr:?}"
    );
    let records = merged(&place, "hang");
    let failed: Vec<bool> = records.iter().map(|r| r.get("error").is_some()).collect();
    assert_eq!(failed, [false, false, true, false, true, false]);

    // A worker that dies: once with a whole batch in hand, and again with one picture.
    let list = "in/0000.bmp\npipe-a\nin/0002.bmp\n";
    place.write("list.txt", list);
    let arguments = ["--from", "list.txt", "--job", "kill", "--format", "jsonl"];
    let mut child = command(&place, &arguments)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut last = 0;
    for records in [0, 1] {
        wait_for("the worker", || {
            let worker = children(child.id()).first().copied().unwrap_or(last);
            let is_new = worker != last && place.path("kill/job.json").exists();
            if !is_new || done(&place, "kill") != records {
                return false;
            }
            // It has the pipe in hand now, or soon.
            std::thread::sleep(Duration::from_millis(700));
            last = worker;
            true
        });
        signal("-9", last);
    }
    assert_eq!(child.wait().unwrap().code(), Some(2));
    let records = merged(&place, "kill");
    let error = records[1]["error"].as_str().unwrap();
    assert!(error.contains("signal: 9"), "{error}");
    assert!(records[0].get("error").is_none() && records[2].get("error").is_none());
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_ends_it_after_the_batch() {
    let place = place(200);
    let arguments = [
        "in",
        "--job",
        "job",
        "--format",
        "jsonl",
        "--batch-size",
        "8",
    ];
    for name in ["-TERM", "-INT"] {
        let mut child = command(&place, &arguments).spawn().unwrap();
        let before = match place.path("job/job.json").exists() {
            true => done(&place, "job"),
            false => 0,
        };
        wait_for("the first records", || {
            place.path("job/job.json").exists() && done(&place, "job") > before
        });
        signal(name, child.id());
        assert_eq!(child.wait().unwrap().code(), Some(3));
        let now = done(&place, "job");
        assert!(now > before && now < 200, "{now}");
        assert_eq!(now % 8, 0, "a whole batch");
        let run = place.run(&["merge", "job"]);
        assert!(run.refusal().contains("are not there yet"), "{run:?}");
    }
    predict(&place, &arguments).failures();
    assert_eq!(merged(&place, "job").len(), 200);
}

#[cfg(target_os = "linux")]
#[test]
fn two_processes_do_not_share_a_shard() {
    let place = place(2);
    let made = Command::new("mkfifo").arg(place.path("pipe")).status();
    assert!(made.unwrap().success());
    place.write("list.txt", "in/0000.bmp\npipe\n");
    let arguments = ["--from", "list.txt", "--job", "job", "--format", "jsonl"];
    let mut child = command(&place, &arguments)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the job", || {
        place.path("job/locks/shard-1-of-1.lock").exists()
    });
    wait_for("the lock", || {
        let run = predict(&place, &arguments);
        run.code == 1 && run.stderr.contains("another process works on shard 1/1")
    });
    child.kill().unwrap();
    child.wait().unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_and_a_folder_that_cannot_be_written_end_it_and_it_goes_on() {
    let place = place(60);
    // A limit on the size of files stands in for the disk. What is longer ends with an error where the
    // signal is ignored.
    let limited = |blocks: &str| {
        let job = [
            "in",
            "--job",
            "job",
            "--format",
            "jsonl",
            "--part-size",
            "60",
        ];
        let program = command(&place, &job);
        let mut shell = place.command(&["x"; 0]);
        let mut line = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        if blocks.is_empty() {
            line = "exec \"$0\" \"$@\"".into();
        }
        let mut wrapped = Command::new("sh");
        wrapped
            .args(["-c", &line])
            .arg(program.get_program())
            .args(program.get_args());
        for (name, value) in shell.env_remove("UNPROMPT_PRESET").get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        wrapped.current_dir(place.path("")).stdin(Stdio::null());
        place.finish(&mut wrapped)
    };
    let run = limited("64");
    assert!(run.stderr.contains("too large") && run.code == 1, "{run:?}");
    let before = done(&place, "job");
    assert!(before > 0 && before < 60, "{before}");
    let run = limited("");
    assert_eq!(run.code, 2, "{run:?}");
    assert_eq!(merged(&place, "job").len(), 60);

    // The tests may run as root, for whom a folder without the right to write is one all the same.
    place.write("file", "");
    let run = predict(&place, &["in", "--job", "file/job"]);
    assert!(run.refusal().contains("file/job"), "{run:?}");
}

#[test]
fn names_that_are_no_text_are_read_again() {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt as _;
        let place = place(1);
        let name = PathBuf::from(std::ffi::OsStr::from_bytes(b"in/caf\xe9.bmp"));
        fs::write(place.path(name), picture(9)).unwrap();
        let run = predict(&place, &["in", "--job", "job", "--format", "jsonl"]);
        assert_eq!(run.output(), "");
        let records = merged(&place, "job");
        assert_eq!(records[1]["path"], "in/caf\u{fffd}.bmp");
        assert!(records[1]["prompt"].is_string());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn pictures_that_arrive_are_added() {
    let place = place(5);
    let arguments = ["in", "--job", "job", "--format", "jsonl"];
    let watching = [&arguments[..], &["--watch"]].concat();
    let begin = || {
        command(&place, &watching)
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let arrive = |name: &str, age: u64| {
        let path = place.write(name, picture(99));
        let file = fs::File::options().append(true).open(path).unwrap();
        let time = std::time::SystemTime::now() - Duration::from_secs(age);
        file.set_modified(time).unwrap();
    };
    let wait = |records: u64| {
        wait_for("the next records", || {
            place.path("job/job.json").exists() && done(&place, "job") == records
        });
    };
    let mut child = begin();
    wait(5);
    arrive("in/0001-b.bmp", 60);
    arrive("in/late.bmp", 60);
    wait(7);
    // Killed where it is, it goes on; what came meanwhile is found, also what is written at the moment.
    child.kill().unwrap();
    child.wait().unwrap();
    arrive("in/later.bmp", 60);
    arrive("in/now.bmp", 0);
    let mut child = begin();
    wait(9);
    signal("-TERM", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(3));
    let status = json(place.run(&["job", "status", "job", "--json"]).output());
    assert_eq!(
        (&status["items"], &status["complete"]),
        (&9.into(), &true.into())
    );
    let records = merged(&place, "job");
    let paths: Vec<&str> = records
        .iter()
        .map(|one| one["path"].as_str().unwrap())
        .collect();
    assert_eq!(
        &paths[4..7],
        ["in/0004.bmp", "in/0001-b.bmp", "in/late.bmp"]
    );
    assert_eq!(paths.len(), 9);
    // Without --watch the same command does what is in the list.
    arrive("in/never.bmp", 60);
    predict(&place, &arguments).output();
    assert_eq!(merged(&place, "job").len(), 9);
    let refused = predict(&place, &[&watching[..], &["--shard", "1/2"]].concat());
    assert!(refused.refusal().contains("--shard"), "{refused:?}");
    let refused = predict(&place, &["--from", "-", "--job", "other", "--watch"]);
    assert!(refused.refusal().contains("--from"), "{refused:?}");
}
