//! An export is there, or nothing is.

use crate::{
    places::{CLIP_WIDTH, Place, SENTENCE_WIDTH, parse},
    postgres::{PROMPTS, Server, Test},
};
use std::fs;
use unprompt_index::{IndexError, PromptIndex};
use unprompt_pgvector::{ApproximateIndex, export, remove};

pub const TESTS: &[Test] = &[
    ("a_table_holds_every_row_for_everybody", whole),
    ("what_fails_on_the_way_leaves_nothing", nothing),
    ("only_a_table_of_ours_is_dropped", dropped),
];

fn whole(server: &mut Server) {
    let texts = ["a \"red\" fox", "le château d'été", "C:\\new", "狐 🦊\ttab"];
    let place = Place::of(texts.map(str::to_owned).to_vec());
    server.sql(PROMPTS, "CREATE SCHEMA art");
    let address = parse(&server.whole_address(PROMPTS, "art.prompts"));
    let mut rows = 0;
    export(&place.index, &address, ApproximateIndex::None, &mut |by| {
        rows += by
    })
    .unwrap();
    assert_eq!(rows, 4);
    let shape = "SELECT count(*), min(id), max(id), min(vector_dims(clip_embedding)), \
                 max(vector_dims(sentence_embedding)) FROM art.prompts";
    let expected = format!("4|0|3|{CLIP_WIDTH}|{SENTENCE_WIDTH}");
    assert_eq!(server.sql(PROMPTS, shape), expected);
    let prompts = server.sql(PROMPTS, "SELECT prompt FROM art.prompts ORDER BY id");
    assert_eq!(prompts, texts.join("\n"));
    // The comment says what the folder's manifest says.
    let comment = "SELECT obj_description('art.prompts'::regclass)::json->'prompts'->>'sha256'";
    let digest = &place.index.manifest().prompts.sha256;
    assert_eq!(&server.sql(PROMPTS, comment), digest);
}

fn nothing(server: &mut Server) {
    let address = parse(&server.whole_address(PROMPTS, "partial"));
    let message_of = |place: &Place, progress: &mut dyn FnMut(u64)| {
        let error = export(&place.index, &address, ApproximateIndex::Hnsw, progress).unwrap_err();
        assert!(!server.has_table("partial"), "{error}");
        error
    };
    // The connection goes when a part of the rows is there.
    let place = Place::new(60_000);
    let mut is_ended = false;
    let error = message_of(&place, &mut |_| {
        if !std::mem::replace(&mut is_ended, true) {
            server.end_connections();
        }
    });
    assert!(
        is_ended && matches!(error, IndexError::Database { .. }),
        "{error:?}"
    );
    let message = error.to_string();
    assert!(
        message.contains("lost") && message.contains("nothing was written"),
        "{message}"
    );
    assert_eq!(message.lines().count(), 1);

    let nul = Place::of(vec!["a fox".into(), "a\0b".into()]);
    let message = message_of(&nul, &mut |_| {}).to_string();
    assert!(
        message.contains("prompt 2: ") && message.contains("U+0000"),
        "{message}"
    );

    // A damaged file behind others.
    let place = Place::new(2000);
    let path = place.folder.path().join("segments/000002.segment");
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
    let place = Place {
        index: PromptIndex::open(place.folder.path()).unwrap(),
        ..place
    };
    let error = message_of(&place, &mut |_| {});
    assert!(matches!(error, IndexError::Damaged { .. }), "{error:?}");
}

fn dropped(server: &mut Server) {
    let place = Place::new(10);
    let address = parse(&server.whole_address(PROMPTS, "ours"));
    export(&place.index, &address, ApproximateIndex::None, &mut |_| {}).unwrap();
    remove(&address).unwrap();
    assert!(!server.has_table("ours"));
    server.sql(PROMPTS, "CREATE TABLE ours (id int)");
    for _ in 0..2 {
        let message = remove(&address).unwrap_err().to_string();
        assert!(message.contains("index export"), "{message}");
    }
    assert!(server.has_table("ours"));
}
