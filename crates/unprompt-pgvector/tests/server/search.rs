//! What a table finds is what the folder finds.

use crate::{
    places::{CLIP_WIDTH, Place, SENTENCE_WIDTH, parse, queries},
    postgres::{PROMPTS, Server, Test},
};
use std::{collections::HashSet, thread::sleep, time::Duration};
use unprompt_index::{IndexError, Match, NearestPrompts, PromptStore, Space};
use unprompt_pgvector::{ApproximateIndex, PromptTable, export};

pub const TESTS: &[Test] = &[
    ("a_table_finds_what_the_folder_finds", exact),
    (
        "an_approximate_index_finds_most_and_as_many_as_are_asked_for",
        approximate,
    ),
    (
        "a_query_that_has_no_place_is_refused_and_the_next_is_answered",
        odd_queries,
    ),
    ("a_connection_that_was_lost_is_made_again", lost),
];

fn open(server: &Server, place: &Place, table: &str, approximate: ApproximateIndex) -> PromptTable {
    let address = parse(&server.whole_address(PROMPTS, table));
    export(&place.index, &address, approximate, &mut |_| {}).unwrap();
    PromptTable::open(address).unwrap()
}

fn exact(server: &mut Server) {
    let place = Place::new(3000);
    let table = open(server, &place, "exact", ApproximateIndex::None);
    assert_eq!(table.prompts(), place.index.prompts());
    assert_eq!(
        (table.clip(), table.sentence()),
        (place.index.clip(), place.index.sentence())
    );
    for (space, width) in [(Space::Clip, CLIP_WIDTH), (Space::Sentence, SENTENCE_WIDTH)] {
        let queries = queries(8, width);
        for count in [0, 1, 10, 100, 3000, 5000] {
            let expected = place.index.nearest(space, &queries, count).unwrap();
            let found = table.nearest(space, &queries, count).unwrap();
            assert!(found == expected, "{space:?}, {count}");
        }
    }
}

fn rows(matches: &[Match]) -> HashSet<u64> {
    matches.iter().map(|found| found.row).collect()
}

fn approximate(server: &mut Server) {
    let place = Place::new(6000);
    let table = open(server, &place, "approximate", ApproximateIndex::Hnsw);
    let queries = queries(8, CLIP_WIDTH);
    for (count, least) in [(10, 0.9), (100, 0.9), (1500, 0.5)] {
        let expected = place.index.nearest(Space::Clip, &queries, count).unwrap();
        let found = table.nearest(Space::Clip, &queries, count).unwrap();
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.len(), count);
            assert!(found.is_sorted_by(|a, b| (b.similarity, a.row) <= (a.similarity, b.row)));
            let common = rows(found).intersection(&rows(expected)).count();
            assert!(common as f64 >= least * count as f64, "{common} of {count}");
        }
    }
    // The server looked into its index, and not at every row.
    let used = "SELECT sum(idx_scan) > 0 FROM pg_stat_user_indexes \
                WHERE relname = 'approximate' AND indexrelname LIKE '%embedding%'";
    drop(table);
    let seen = (0..100).any(|_| {
        sleep(Duration::from_millis(50));
        server.sql(PROMPTS, used) == "t"
    });
    assert!(seen);
}

fn odd_queries(server: &mut Server) {
    let place = Place::new(20);
    let table = open(server, &place, "odd", ApproximateIndex::None);
    let good = queries(1, CLIP_WIDTH);
    for (bad, expected) in [
        (vec![1.0; 3], "query 1 has 3 numbers, expected 24"),
        (vec![0.0; CLIP_WIDTH], "no direction"),
        (vec![f32::NAN; CLIP_WIDTH], "no direction"),
    ] {
        let both = [good.clone(), vec![bad]].concat();
        let error = table.nearest(Space::Clip, &both, 5).unwrap_err();
        assert!(matches!(error, IndexError::Embedding(_)));
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!error.is_of_the_index());
        assert_eq!(table.nearest(Space::Clip, &good, 5).unwrap()[0].len(), 5);
    }
}

fn lost(server: &mut Server) {
    let place = Place::new(50);
    let table = open(server, &place, "lost", ApproximateIndex::None);
    let queries = queries(2, CLIP_WIDTH);
    let expected = place.index.nearest(Space::Clip, &queries, 9).unwrap();
    let search = || table.nearest(Space::Clip, &queries, 9);
    assert!(search().unwrap() == expected);
    server.end_connections();
    assert!(search().unwrap() == expected);
    server.stop();
    for _ in 0..2 {
        let error = search().unwrap_err();
        assert!(error.is_of_the_index());
        let message = error.to_string();
        assert!(
            message.starts_with("postgresql://keeper@127.0.0.1:"),
            "{message}"
        );
        assert!(
            message.contains("connect") && message.lines().count() == 1,
            "{message}"
        );
    }
    server.run();
    sleep(Duration::from_millis(1100));
    assert!(search().unwrap() == expected);
    // Another list under the same name is not searched in its place.
    server.end_connections();
    server.sql(PROMPTS, "DROP TABLE lost");
    let other = Place::new(60);
    open(server, &other, "lost", ApproximateIndex::None);
    let message = search().unwrap_err().to_string();
    assert!(message.contains("other prompts"), "{message}");
}
