//! Prompt indexes in a real PostgreSQL: `index export --to`, `index search --index`, members of kind `knn`.

#![allow(clippy::print_stderr, reason = "tests say why they are skipped")]

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../../../unprompt-pgvector/tests/server/postgres.rs"]
mod postgres;

use harness::{Place, Run, json, json_lines, workspace};
use postgres::{CODED_PASSWORD, PASSWORD, PROMPTS, Server};
use serde_json::Value;

type Test = (&'static str, fn(&mut Server));

fn main() {
    let tests: &[Test] = &[
        ("a_search_of_the_table_is_that_of_the_folder", search),
        ("a_member_of_a_preset_looks_into_the_table", member),
        (
            "what_cannot_be_done_is_one_line_without_the_password",
            refusals,
        ),
        ("a_table_tells_what_it_holds_and_is_checked", info),
        ("two_exports_at_once_make_one_table", at_once),
        ("the_bench_measures_the_database_beside_the_folder", bench),
    ];
    postgres::run_tests(tests);
}

fn model(name: &str) -> String {
    let path = workspace("fixtures/models").join(name);
    path.to_str().unwrap().to_owned()
}

/// Three pictures, and the index `ix` of 150 prompts with tiny models.
fn place() -> Place {
    let place = Place::new();
    for picture in ["cat.png", "coffee.webp", "rocket.jpg"] {
        let path = workspace("examples/pictures").join(picture);
        place.copy(&path, &format!("in/{picture}"));
    }
    let (colours, things) = (["red", "pale", "golden"], ["fox", "castle", "ship"]);
    let line = |row: usize| {
        let (colour, thing) = (colours[row % 3], things[row / 3 % 3]);
        format!("a {colour} {thing}, number {row}, oil on canvas\n")
    };
    place.write("list.txt", (0..150).map(line).collect::<String>());
    let (clip, sentence) = (model("tiny-clip"), model("tiny-sbert"));
    let arguments = ["index", "build", "list.txt", "--clip", &clip, "--sentence"];
    let more = [&sentence, "--out", "ix", "--segment-rows", "40", "--quiet"];
    place.run(&[&arguments[..], &more].concat()).output();
    place
}

/// A run with the password in its environment, which it shows nowhere.
#[track_caller]
fn run(place: &Place, arguments: &[&str]) -> Run {
    run_with(place, arguments, Some(PASSWORD))
}

#[track_caller]
fn run_with(place: &Place, arguments: &[&str], password: Option<&str>) -> Run {
    let mut command = place.command(arguments);
    match password {
        Some(password) => command.env("PGPASSWORD", password),
        None => command.env_remove("PGPASSWORD"),
    };
    let run = place.finish(&mut command);
    for secret in password
        .into_iter()
        .chain([PASSWORD, CODED_PASSWORD, "wr0ng"])
    {
        assert!(
            !run.stdout.contains(secret) && !run.stderr.contains(secret),
            "{run:?}"
        );
    }
    run
}

#[track_caller]
fn export(place: &Place, address: &str, more: &[&str]) {
    let arguments = ["index", "export", "ix", "--quiet", "--to", address];
    let run = run(place, &[&arguments[..], more].concat());
    assert_eq!(run.output(), "");
}

fn search(server: &mut Server) {
    let place = place();
    let address = server.address(PROMPTS, "searched");
    export(&place, &address, &[]);
    assert_eq!(server.sql(PROMPTS, "SELECT count(*) FROM searched"), "150");
    let common = ["--quiet", "--format", "jsonl", "--top", "120"];
    for what in [
        &["in"][..],
        &["--text", "a pale castle", "--text", "a ship"],
    ] {
        let of_folder = run(
            &place,
            &[&["index", "search", "ix"], what, &common].concat(),
        );
        for at in [
            &["index", "search", &address][..],
            &["index", "search", "--index", &address],
        ] {
            let of_table = run(&place, &[at, what, &common].concat());
            assert_eq!(of_table.output(), of_folder.output());
        }
    }
    let of_folder = run(
        &place,
        &["index", "search", "in/cat.png", "--index", "ix", "--quiet"],
    );
    assert_eq!(of_folder.output().lines().count(), 11);
    // With approximate indexes most of it is the same; a table of this size is looked at whole.
    let address = server.address(PROMPTS, "searched_hnsw");
    export(&place, &address, &["--hnsw"]);
    let count = "SELECT count(*) FROM pg_indexes WHERE tablename = 'searched_hnsw' AND indexdef LIKE \
                 '%USING hnsw%'";
    assert_eq!(server.sql(PROMPTS, count), "2");
    let found = run(
        &place,
        &[
            "index", "search", &address, "in", "--quiet", "--format", "jsonl",
        ],
    );
    assert_eq!(json_lines(found.output()).len(), 3);
}

fn member(server: &mut Server) {
    let place = place();
    let address = server.address(PROMPTS, "member");
    export(&place, &address, &[]);
    let predict = |index: &str| -> Vec<Value> {
        let encoder = model("tiny-sbert");
        let preset = format!(
            "name = 'own'\nencoder = '{encoder}'\n[[member]]\nname = 'knn'\nkind = 'knn'\n\
             weight = 1\nindex = '{index}'\n"
        );
        place.write("own.toml", preset);
        let arguments = ["predict", "in", "--no-metadata", "--preset", "own.toml"];
        let more = ["--quiet", "--format", "jsonl"];
        let run = run(&place, &[&arguments[..], &more].concat());
        json_lines(run.output())
    };
    let without = |records: Vec<Value>| -> Vec<Value> {
        let clean = |mut record: Value| {
            record["elapsed_ms"].take();
            record["receipt"].take();
            record
        };
        records.into_iter().map(clean).collect()
    };
    let of_table = predict(&address);
    // The receipt names the table by its address and the digest of its prompts.
    let models = of_table[0]["receipt"]["models"].as_array().unwrap();
    assert_eq!(models.last().unwrap()["name"], *address);
    let of_folder = predict("ix");
    let of_both = [&of_table, &of_folder].map(|records| {
        let models = records[0]["receipt"]["models"].as_array().unwrap();
        models.last().unwrap()["sha256"].clone()
    });
    assert_eq!(of_both[0], of_both[1]);
    assert_eq!(without(of_table), without(of_folder));

    // A preset keeps no password.
    let whole = server.whole_address(PROMPTS, "member");
    place.write(
        "secret.toml",
        format!(
            "name = 'own'\nencoder = 'e'\n[[member]]\nname = 'knn'\nkind = 'knn'\nweight = 1\n\
             index = '{whole}'\n"
        ),
    );
    let refused = run(&place, &["predict", "in", "--preset", "secret.toml"]);
    assert!(refused.refusal().contains("PGPASSWORD"), "{refused:?}");
    // Another encoder than the table's is refused, and the place is named without its parameters.
    let other = model("tiny-siglip");
    let moved = run(
        &place,
        &["index", "search", &address, "in", "--clip", &other],
    );
    assert!(
        moved
            .refusal()
            .contains("?table=member: the index was built with"),
        "{moved:?}"
    );
}

fn info(server: &mut Server) {
    let place = place();
    let of_folder = run(&place, &["index", "info", "ix", "--format", "jsonl"]);
    let of_folder = json(of_folder.output());
    for (table, more) in [("told", &[][..]), ("told_hnsw", &["--hnsw"])] {
        let address = server.address(PROMPTS, table);
        export(&place, &address, more);
        for at in [&[&*address][..], &["--index", &address]] {
            let arguments = [&["index", "info", "--check", "--quiet"], at].concat();
            let told = run(&place, &[&arguments[..], &["--format", "jsonl"]].concat());
            let told = json(told.output());
            for key in [
                "prompts",
                "duplicates",
                "empty",
                "prompts_sha256",
                "clip",
                "clip_width",
                "sentence",
                "sentence_width",
            ] {
                assert!(!told[key].is_null(), "{key}: {told}");
                assert_eq!(told[key], of_folder[key], "{key}");
            }
            assert_eq!(told["approximate"], !more.is_empty());
            assert!(told["bytes"].as_u64().unwrap() > 8192, "{told}");
            assert!(told.get("segments").is_none(), "{told}");
            let shown = told["index"].as_str().unwrap();
            assert!(shown.ends_with(&format!("?table={table}")), "{told}");
            let words = run(&place, &arguments);
            let expected = match more.is_empty() {
                true => " in a table of PostgreSQL, searched row by row\n",
                false => "searched by HNSW indexes, which miss some of the nearest\n",
            };
            assert!(words.output().ends_with(expected), "{words:?}");
        }
    }
    // A table that was changed tells as before, and is found out.
    let address = server.address(PROMPTS, "told");
    for (change, undo, expected) in [
        (
            "UPDATE told SET prompt = 'x' WHERE id = 7",
            "UPDATE told SET prompt = 'a pale ship, number 7, oil on canvas' WHERE id = 7",
            "its prompts are not those",
        ),
        (
            "UPDATE told SET id = 150 WHERE id = 3",
            "UPDATE told SET id = 3 WHERE id = 150",
            "row 3 is not there",
        ),
        ("DELETE FROM told WHERE id = 149", "", "it has 149 rows"),
    ] {
        server.sql(PROMPTS, change);
        run(&place, &["index", "info", &address]).output();
        let checked = run(&place, &["index", "info", &address, "--check", "--quiet"]);
        assert!(checked.refusal().contains(expected), "{checked:?}");
        if !undo.is_empty() {
            server.sql(PROMPTS, undo);
            run(&place, &["index", "info", &address, "--check", "--quiet"]).output();
        }
    }
}

fn refusals(server: &mut Server) {
    let place = place();
    let address = server.address(PROMPTS, "refused");
    let wrong = address.replace('@', ":wr0ng@");
    let unreadable = format!("postgresql://keeper:{CODED_PASSWORD}@host:port/x");
    let cases: &[(&[&str], &str)] = &[
        (&["index", "export", "ix", "--to", &wrong], "PGPASSWORD"),
        (&["index", "export", "ix", "--to", &unreadable], "`port`"),
        (
            &["index", "export", "ix", "--to", "./folder"],
            "postgresql://",
        ),
        (
            &["index", "export", "ix", "--to", &address, "--offline"],
            "--offline",
        ),
        (&["index", "export", "nowhere", "--to", &address], "nowhere"),
        (
            &["index", "export", "ix", "--hnsw", "--out", "a.parquet"],
            "--to",
        ),
        (
            &["index", "export", "ix", "--to", "x", "--out", "a.parquet"],
            "--out",
        ),
        (&["index", "export", "ix"], "--to ADDRESS"),
        (&["index", "search", &wrong, "in"], "PGPASSWORD"),
        (&["index", "info", &wrong], "PGPASSWORD"),
        (&["index", "info", &address], "no such table"),
        (&["index", "info", &address, "--offline"], "--offline"),
        (&["index", "info", "--index", &unreadable], "`port`"),
        (&["index", "info", "ix", &wrong], "one index"),
        (&["index", "info", "ix", "--index", &wrong], "one index"),
        (&["index", "info"], "<DIR>"),
        (&["index", "search", &address, "in"], "no such table"),
        (
            &["index", "search", &address, "in", "--offline"],
            "--offline",
        ),
        (&["index", "search", "--index", &address], "<PATH>"),
        (&["index", "search", "--index", &unreadable, "in"], "`port`"),
        (&["index", "search", "ix", "in", "--text", "a"], "not both"),
    ];
    for (arguments, expected) in cases {
        let run = run(&place, arguments);
        assert!(run.refusal().contains(expected), "{arguments:?}: {run:?}");
        let is_of_clap = run.stderr.contains("--help");
        assert!(is_of_clap || run.stderr.lines().count() == 1, "{run:?}");
    }
    let arguments = ["index", "export", "ix", "--to", &address];
    let run = run_with(&place, &arguments, None);
    assert!(run.refusal().contains("asks for a password"), "{run:?}");
    assert!(!server.has_table("refused"));
}

fn at_once(server: &mut Server) {
    let place = place();
    let address = server.address(PROMPTS, "at_once");
    let arguments = ["index", "export", "ix", "--quiet", "--to", &address];
    let runs: Vec<_> = (0..2)
        .map(|_| {
            place
                .command(&arguments)
                .env("PGPASSWORD", PASSWORD)
                .spawn()
                .unwrap()
        })
        .collect();
    let codes: Vec<bool> = runs
        .into_iter()
        .map(|mut run| run.wait().unwrap().success())
        .collect();
    assert!(
        codes == [true, false] || codes == [false, true],
        "{codes:?}"
    );
    assert_eq!(server.sql(PROMPTS, "SELECT count(*) FROM at_once"), "150");
}

fn bench(server: &mut Server) {
    let place = Place::new();
    let address = server.address(PROMPTS, "measured");
    let arguments = ["bench", "index", "--rows", "1000", "--runs", "1", "--quiet"];
    let more = ["--against", &address, "--format", "json"];
    let run = run(&place, &[&arguments[..], &more].concat());
    let rows = json(run.output());
    let rows = rows.as_array().unwrap();
    let of = |program: &str| -> Value {
        let found = rows.iter().find(|row| {
            let name = row["program"].as_str().unwrap();
            name == program && !row["p99_ms"].is_null()
        });
        found
            .unwrap_or_else(|| panic!("{program}: {rows:?}"))
            .clone()
    };
    assert!(of("unprompt")["median_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(of("PostgreSQL, exact")["recall"], 1.0);
    assert_eq!(of("PostgreSQL, exact")["largest_difference"], 0.0);
    assert!(of("PostgreSQL, HNSW")["recall"].as_f64().unwrap() > 0.5);
    assert!(!server.has_table("measured"));
}
