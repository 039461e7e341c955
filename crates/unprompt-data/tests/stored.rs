//! Pictures inside other files, from those that `fixtures/make_stored.py` and `fixtures/make.py` make.

use std::{
    fs,
    path::{Path, PathBuf},
};
use unprompt_data::{Limits, PictureTable, RecordError, read_tar_picture, tar_pictures};

fn fixture(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    folder.join(name)
}

/// Bytes of the green square.
const GREEN: usize = 73;

fn red() -> Vec<u8> {
    fs::read(fixture("stored/red.png")).unwrap()
}

/// Names, each with the length of its picture or with what is wrong with it.
fn listed(name: &str, limits: Limits) -> Vec<(String, Result<usize, String>)> {
    let path = fixture(name);
    let read = |found: Result<unprompt_data::TarPicture, RecordError>| match found {
        Err(error) => (error.id.clone(), Err(error.problem.to_string())),
        Ok(found) => {
            let bytes = read_tar_picture(&path, found.offset, found.length, limits).unwrap();
            (found.name, Ok(bytes.len()))
        }
    };
    tar_pictures(&path, limits).map(read).collect()
}

#[test]
fn a_tar_file_s_pictures_are_found_where_they_are() {
    let red = red().len();
    let problem = |text: &str| Err(text.to_owned());
    let expected = [
        ("deep/red.png", Ok(red)),
        ("green.v2.PNG", Ok(GREEN)),
        ("link.png", problem("not a file but a link")),
        (
            "../outside.png",
            problem("the name leads out of its folder"),
        ),
        ("deep/red.png", Ok(GREEN)),
    ];
    let expected = expected.map(|(name, found)| (name.to_owned(), found));
    let path = fixture("stored/pictures.tar");
    assert_eq!(listed("stored/pictures.tar", Limits::default()), expected);
    let first = tar_pictures(&path, Limits::default())
        .next()
        .unwrap()
        .unwrap();
    let bytes = read_tar_picture(&path, first.offset, first.length, Limits::default());
    assert_eq!(bytes.unwrap(), self::red());
    assert!(read_tar_picture(&path, 1 << 40, 10, Limits::default()).is_err());
}

#[test]
fn a_hostile_tar_file_ends_in_errors() {
    let limits = Limits {
        picture: 4096,
        ..Limits::default()
    };
    let found = listed("hostile/members.tar", limits);
    let failed: Vec<(&str, bool)> = found
        .iter()
        .map(|(name, found)| (name.as_str(), found.is_err()))
        .collect();
    let expected = [
        ("../outside.jpg", true),
        ("link.jpg", true),
        ("hard.jpg", true),
        ("device.jpg", true),
        ("large.jpg", true),
        ("alone.jpg", false),
        ("blank.jpg", false),
        ("good.jpg", false),
    ];
    assert_eq!(failed, expected);
    // Cut off, and a size that is not there: the picture and the archive are errors, and no memory is
    // taken for it.
    for (name, good) in [("cut/a.tar", 1), ("bomb/a.tar", 0), ("noise/a.tar", 0)] {
        let found = listed(&format!("hostile/{name}"), Limits::default());
        let read = found.iter().filter(|(_, found)| found.is_ok()).count();
        assert_eq!(read, good, "{name}: {found:?}");
        assert!(found.len() > good, "{name}");
    }
}

#[test]
fn a_table_of_pictures_is_read_in_any_order() {
    let (red, limits) = (red(), Limits::default());
    let mut table = PictureTable::open(&fixture("stored/bytes.parquet"), limits).unwrap();
    assert_eq!(table.picture_rows(), Some(3));
    for row in [0, 2, 0, 1, 2] {
        match (row, table.read(row)) {
            (0, Ok(bytes)) => assert_eq!(bytes, red),
            (2, Ok(bytes)) => assert_eq!(bytes.len(), GREEN),
            (1, Err(error)) => assert_eq!(error.to_string(), "no picture"),
            (row, found) => panic!("{row}: {found:?}"),
        }
    }
    assert!(table.read(3).is_err() && table.read(u64::MAX).is_err());

    let mut table = PictureTable::open(&fixture("stored/hugging-face.parquet"), limits).unwrap();
    assert_eq!(table.read(0).unwrap(), red);
    let small = Limits {
        picture: 10,
        ..limits
    };
    let mut table = PictureTable::open(&fixture("stored/bytes.parquet"), small).unwrap();
    assert!(
        table
            .read(0)
            .unwrap_err()
            .to_string()
            .contains("longer than 10")
    );

    let table = PictureTable::open(&fixture("stored/paths.parquet"), limits).unwrap();
    assert_eq!(table.picture_rows(), None);
    let paths: Vec<Result<PathBuf, RecordError>> = table.paths().unwrap().collect();
    assert_eq!(paths[0].as_ref().unwrap(), &fixture("stored/red.png"));
    assert!(
        paths[1]
            .as_ref()
            .unwrap_err()
            .to_string()
            .contains("leads out")
    );
}

#[test]
fn a_damaged_table_is_an_error_wherever_it_is_cut_or_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.parquet");
    let whole = fs::read(fixture("stored/bytes.parquet")).unwrap();
    for end in (0..whole.len()).step_by(7) {
        fs::write(&path, &whole[..end]).unwrap();
        assert!(
            PictureTable::open(&path, Limits::default()).is_err(),
            "{end}"
        );
    }
    for place in (0..whole.len()).step_by(3) {
        let mut changed = whole.clone();
        changed[place] ^= 0x55;
        fs::write(&path, changed).unwrap();
        // Some changes change nothing that is read; none may end in a panic.
        if let Ok(mut table) = PictureTable::open(&path, Limits::default()) {
            for row in 0..3 {
                let _ = table.read(row);
            }
            if let Ok(paths) = table.paths() {
                let _ = paths.count();
            }
        }
    }
    let none = fixture("lists/red.png");
    assert!(PictureTable::open(&none, Limits::default()).is_err());
}
