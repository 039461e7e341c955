//! What cannot be done is one clear line that holds no password.

use crate::{
    places::{Place, parse},
    postgres::{BARE, CODED_PASSWORD, OWNER, PASSWORD, PROMPTS, Server, Test},
};
use unprompt_index::IndexError;
use unprompt_pgvector::{ApproximateIndex, PromptTable, export};

pub const TESTS: &[Test] = &[
    ("a_server_that_refuses_is_told_in_one_line", server_refuses),
    ("a_table_that_is_not_an_export_is_refused", tables),
];

/// The line of an error, which names the place and no secret.
#[track_caller]
fn line(error: &IndexError, secrets: &[&str]) -> String {
    assert!(matches!(error, IndexError::Database { .. }), "{error:?}");
    let message = error.to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    for secret in [secrets, &[PASSWORD, CODED_PASSWORD]].concat() {
        assert!(!message.contains(secret), "{message}");
        assert!(!format!("{error:?}").contains(secret), "{error:?}");
    }
    message
}

fn server_refuses(server: &mut Server) {
    let place = Place::new(5);
    server.sql(
        "postgres",
        &format!("CREATE ROLE guest LOGIN PASSWORD '{PASSWORD}'"),
    );
    let guest = format!("guest:{CODED_PASSWORD}");
    let nobody = format!("postgresql://{OWNER}:{CODED_PASSWORD}@127.0.0.1:1/{PROMPTS}?table=t");
    let cases = [
        (
            server.address_of(&format!("{OWNER}:wr0ng"), PROMPTS, "t"),
            "PGPASSWORD",
        ),
        (server.address(PROMPTS, "t"), "asks for a password"),
        (
            server.address_of(&format!("stranger:{CODED_PASSWORD}"), PROMPTS, "t"),
            "stranger",
        ),
        (server.whole_address("nowhere", "t"), "nowhere"),
        (server.whole_address(BARE, "t"), "CREATE EXTENSION vector"),
        (server.address_of(&guest, PROMPTS, "t"), "permission denied"),
        (server.whole_address(PROMPTS, "noschema.t"), "noschema"),
        (nobody, "connect"),
    ];
    for (text, expected) in cases {
        let address = parse(&text);
        let error = export(&place.index, &address, ApproximateIndex::None, &mut |_| {});
        let message = line(&error.unwrap_err(), &["wr0ng"]);
        assert!(message.contains(expected), "{expected}: {message}");
        let message = line(&PromptTable::open(address).unwrap_err(), &["wr0ng"]);
        let is_of_writing = ["permission denied", "noschema"].contains(&expected);
        assert!(
            is_of_writing || message.contains(expected),
            "{expected}: {message}"
        );
    }
}

fn tables(server: &mut Server) {
    let place = Place::new(5);
    let address = parse(&server.whole_address(PROMPTS, "kept"));
    export(&place.index, &address, ApproximateIndex::None, &mut |_| {}).unwrap();
    let again = export(&place.index, &address, ApproximateIndex::None, &mut |_| {});
    let message = line(&again.unwrap_err(), &[]);
    assert!(message.contains("already"), "{message}");
    assert_eq!(server.sql(PROMPTS, "SELECT count(*) FROM kept"), "5");
    let missing = PromptTable::open(parse(&server.whole_address(PROMPTS, "missing")));
    assert!(line(&missing.unwrap_err(), &[]).contains("no such table"));
    for (change, expected) in [
        (
            "ALTER TABLE kept ALTER clip_embedding TYPE vector(24)",
            "vector(24)",
        ),
        (
            "ALTER TABLE kept ALTER clip_embedding TYPE halfvec(3) USING '[1,2,3]'::halfvec(3)",
            "halfvec(3), and its comment says halfvec(24)",
        ),
        (
            "ALTER TABLE kept DROP clip_embedding",
            "clip_embedding is missing",
        ),
        (
            "DO $$ BEGIN EXECUTE format('COMMENT ON TABLE kept IS %L', replace(obj_description(\
             'kept'::regclass), '\"version\":1', '\"version\":7')); END $$",
            "version 7",
        ),
        ("COMMENT ON TABLE kept IS 'of the art team'", "index export"),
        ("COMMENT ON TABLE kept IS NULL", "index export"),
    ] {
        server.sql(PROMPTS, change);
        let error = PromptTable::open(address.clone()).unwrap_err();
        let message = line(&error, &[]);
        assert!(message.contains(expected), "{change}: {message}");
    }
}
