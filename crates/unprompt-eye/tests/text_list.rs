//! A list is what it was made from.

use unprompt_eye::{Damaged, NewSegment, TextList, make_list, remake_list};

/// Embeddings on a circle, more texts than one block and one part hold.
fn segments() -> Vec<NewSegment> {
    let segment = |name: &str, from: usize, to: usize| NewSegment {
        name: name.into(),
        texts: (from..to)
            .map(|index| format!("a picture of {index} things"))
            .collect(),
        embeddings: (from..to)
            .map(|index| {
                let angle = index as f32 / 1000.0;
                let mut row = vec![0.0; 20];
                (row[0], row[7]) = (angle.cos(), angle.sin());
                row
            })
            .collect(),
    };
    vec![segment("first", 0, 300), segment("second", 300, 2500)]
}

fn leaked(bytes: Vec<u8>) -> &'static [u8] {
    Box::leak(bytes.into_boxed_slice())
}

#[test]
fn texts_and_embeddings_come_back() {
    let segments = segments();
    let bytes = make_list(&segments).unwrap();
    assert_eq!(bytes, make_list(&segments).unwrap());
    let list = TextList::open(leaked(bytes)).unwrap();
    assert_eq!(
        (list.len(), list.width(), list.is_empty()),
        (2500, 20, false)
    );
    assert_eq!(list.segment("second").unwrap().rows, 300..2500);
    assert!(list.segment("third").is_none());
    let texts = segments.iter().flat_map(|one| &one.texts);
    let rows = segments.iter().flat_map(|one| &one.embeddings);
    for (index, (text, row)) in texts.zip(rows).enumerate() {
        if index % 100 == 0 || index == 255 {
            assert_eq!(list.text(index).unwrap(), *text);
        }
        for (found, value) in list.embedding(index).iter().zip(row) {
            assert!((found - value).abs() < 0.005);
        }
    }
    assert!(
        list.is_printable(5) && !list.is_printable(100),
        "long numbers are refused"
    );
}

#[test]
fn a_list_without_some_texts_is_the_one_made_without_them() {
    let mut segments = segments();
    let list = TextList::open(leaked(make_list(&segments).unwrap())).unwrap();
    assert_eq!(
        remake_list(&list, |_| true).unwrap(),
        make_list(&segments).unwrap()
    );
    for place in [2400, 301, 7] {
        let segment = &mut segments[usize::from(place >= 300)];
        let place = if place < 300 { place } else { place - 300 };
        segment.texts.remove(place);
        segment.embeddings.remove(place);
    }
    let fewer = remake_list(&list, |index| ![2400, 301, 7].contains(&index)).unwrap();
    assert_eq!(fewer, make_list(&segments).unwrap());
    assert!(matches!(remake_list(&list, |_| false), Err(Damaged { .. })));
}

#[test]
fn sums_and_products_are_those_of_the_rows() {
    let list = TextList::open(leaked(make_list(&segments()).unwrap())).unwrap();
    let query: Vec<f32> = (0..20).map(|index| (index as f32 - 9.0) / 10.0).collect();
    let products = list.products(&query);
    let weights: Vec<f64> = (0..list.len()).map(|index| (index % 7) as f64).collect();
    let mut sum = [0.0; 20];
    for index in 0..list.len() {
        let row = list.embedding(index);
        let product: f32 = row.iter().zip(&query).map(|(row, query)| row * query).sum();
        assert!((products[index] - product).abs() < 1e-5);
        for (sum, value) in sum.iter_mut().zip(row) {
            *sum += weights[index] * f64::from(value);
        }
    }
    for (found, sum) in list.weighted_sums(&[weights])[0].iter().zip(sum) {
        assert!((found - sum).abs() < 1e-3, "{found} {sum}");
    }
    // The mean and the length without it.
    let mean = list.mean();
    let length: f32 = list
        .embedding(9)
        .iter()
        .zip(mean)
        .map(|(row, mean)| (row - mean).powi(2))
        .sum();
    assert!((list.centred_scale(9) - 1.0 / length.sqrt()).abs() < 1e-4);
}

#[test]
fn the_bits_are_the_same_with_any_number_of_threads_and_of_others() {
    let list = TextList::open(leaked(make_list(&segments()).unwrap())).unwrap();
    let queries: Vec<[f32; 20]> = (0..6).map(|index| [0.3 - 0.1 * index as f32; 20]).collect();
    let weights: Vec<Vec<f64>> = (0..6)
        .map(|other| {
            let weights = (0..list.len()).map(|index| 1.0 / (other * 31 + index + 1) as f64);
            weights.collect()
        })
        .collect();
    let results = |threads, others: std::ops::Range<usize>| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let (queries, weights) = (&queries[others.clone()], &weights[others]);
        pool.install(|| (list.products_of_all(queries), list.weighted_sums(weights)))
    };
    let (products, sums) = results(1, 0..6);
    assert_eq!(results(3, 0..6), (products.clone(), sums.clone()));
    for place in 0..6 {
        let alone = results(3, place..place + 1);
        assert_eq!(alone.0[0], products[place]);
        assert_eq!(alone.1[0], sums[place]);
    }
    assert_eq!(results(3, 0..0), (Vec::new(), Vec::new()));
}

#[test]
fn what_is_no_list_is_refused() {
    let bytes = make_list(&segments()).unwrap();
    let is_damaged = |bytes: Vec<u8>| matches!(TextList::open(leaked(bytes)), Err(Damaged { .. }));
    assert!(is_damaged(Vec::new()));
    assert!(is_damaged(bytes[..bytes.len() - 1].to_vec()));
    let header = String::from_utf8_lossy(&bytes[8..200]).into_owned();
    assert!(header.contains("segments"), "{header}");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let at = text.find("2200").unwrap();
    let mut other = bytes.clone();
    other[at] = b'1';
    assert!(is_damaged(other), "fewer rows than the segments have");
    let mut segments = segments();
    segments[0].texts[0] = "two\nlines".into();
    assert!(make_list(&segments).is_err());
    segments[0].texts.pop();
    assert!(make_list(&segments).is_err());
    assert!(make_list(&[]).is_err());
}
