//! Prompts on either side, embedded by the function that the caller passes in.

use unprompt_eval::{Answer, Answers, DIMENSIONS, EmbedError, score};

/// One number a word: texts that share words are near.
fn bag_of_words(texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
    let embedded = texts.iter().map(|text| {
        let mut embedding = vec![0.0; DIMENSIONS];
        for word in text.split_whitespace() {
            let place: usize = word.bytes().map(usize::from).sum();
            embedding[place % DIMENSIONS] += 1.0;
        }
        embedding
    });
    Ok(embedded.collect())
}

fn answers(name: &str, text: &str) -> Answers {
    Answers::read(name, text.as_bytes()).unwrap()
}

fn cosines(prediction: &str, truth: &str) -> Vec<(String, f64)> {
    let (prediction, truth) = (answers("prediction", prediction), answers("truth", truth));
    let score = score(&prediction, &truth, &mut bag_of_words).unwrap();
    score
        .per_image
        .into_iter()
        .map(|image| (image.id, image.cosine))
        .collect()
}

#[test]
fn every_table_and_record_of_prompts_is_read() {
    let truth = "imgId,prompt\nx,red cat\ny,\"blue, old dog\"\n";
    for prediction in [
        "imgId,prompt\ny,red\nx,red\n",
        "file,prompt\ny.jpeg,red\nx.png,red\n",
        "path,prompt\nsome/folder/y.png,red\nx,red\n",
        "image,prompt\r\ny.jpg,red\r\nx.png,red\r\n",
        "filename,prompt\ny.jpg,red\nx.png,red\n",
        "Image,Prompt,Mode\ny.jpg,red,fast\nx.png,red,best\n",
        "image,imgId,prompt\n1.jpg,y,red\n2.jpg,x,red\n",
        "note,prompt,file,more\n1,red,y.webp,2\n,red,x.png,\n",
        "\u{feff}\r\n imgId , prompt \r\ny,red\r\n\r\nx,red\r\n",
        "{\"path\":\"b/y.png\",\"prompt\":\"red\"}\n\n{\"path\":\"a/x.png\",\"prompt\":\"red\"}",
        "\u{feff}{\"imgId\":\"y\",\"prompt\":\"red\"}\r\n{\"id\":\"x\",\"prompt\":\"red\"}\r\n",
        " [\n {\"id\":\"y\",\"prompt\":\"red\",\"error\":null},\n {\"id\":\"x\",\"prompt\":\"red\"}]\n",
    ] {
        let found = cosines(prediction, truth);
        assert_eq!(found.len(), 2, "{prediction}");
        assert_eq!(
            (found[0].0.as_str(), found[1].0.as_str()),
            ("x", "y"),
            "{prediction}"
        );
        assert!((found[0].1 - 0.5_f64.sqrt()).abs() < 1e-12, "{prediction}");
        assert_eq!(found[1].1, 0.0, "{prediction}");
    }
}

#[test]
fn quoted_fields_are_read_as_spreadsheets_write_them() {
    let table = "imgId,prompt\r\n\"a,1\",\"say \"\"hi\"\", twice\r\nand more\"\r\nb,5\" nails\r\nc,\"\"\r\n";
    let table = answers("t", table);
    let found: Vec<_> = table
        .entries()
        .iter()
        .map(|entry| (entry.line, &entry.answer))
        .collect();
    let prompt = |text: &str| Answer::Prompt(text.to_owned());
    assert_eq!(table.entries()[0].id, "a,1");
    assert_eq!(
        found,
        [
            (2, &prompt("say \"hi\", twice\r\nand more")),
            (4, &prompt("5\" nails")),
            (5, &prompt("")),
        ]
    );
}

#[test]
fn an_embedding_counts_before_the_prompt_beside_it() {
    let mut red = vec![0.0; DIMENSIONS];
    red[usize::from(b'r') + usize::from(b'e') + usize::from(b'd')] = 5.0;
    let record = format!("{{\"path\":\"x.png\",\"prompt\":\"green\",\"embedding\":{red:?}}}");
    assert_eq!(
        cosines(&record, "imgId,prompt\nx,red\n"),
        [("x".to_owned(), 1.0)]
    );
}

#[test]
fn many_prompts_keep_their_images() {
    let table = |ids: &mut dyn Iterator<Item = usize>| {
        let rows = ids.map(|id| format!("image{id},word{id}\n"));
        "imgId,prompt\n".to_owned() + &rows.collect::<String>()
    };
    let found = cosines(&table(&mut (0..1000).rev()), &table(&mut (0..1000)));
    assert_eq!(found.len(), 1000);
    for (position, (id, cosine)) in found.iter().enumerate() {
        assert_eq!(id, &format!("image{position}"));
        assert!((cosine - 1.0).abs() < 1e-12, "{id}");
    }
}

#[test]
fn a_failing_or_wrong_embedder_is_named() {
    let truth = answers("truth.csv", "imgId,prompt\nx,red cat\n");
    let embedded = |result: Result<Vec<Vec<f32>>, &str>| {
        let mut result = Some(result.map_err(EmbedError::from));
        let mut embed = |_: &[String]| result.take().unwrap();
        score(&truth, &truth, &mut embed).unwrap_err().to_string()
    };
    assert_eq!(
        embedded(Err("no model")),
        "truth.csv: the prompts could not be embedded: no model"
    );
    assert_eq!(
        embedded(Ok(vec![])),
        "truth.csv: embedding 1 prompts gave 0 embeddings"
    );
    assert_eq!(
        embedded(Ok(vec![vec![1.0; 3]])),
        "truth.csv:2: image `x`: the embedding has 3 numbers, expected 384"
    );
    assert_eq!(
        embedded(Ok(vec![vec![f32::NAN; DIMENSIONS]])),
        "truth.csv:2: image `x`, dimension 0: `NaN` is not a finite number"
    );
}
