//! Which files a command line names, to read and to write.

use super::{Arguments, Blend, Command, Data, Embed, Index, Job, Models, Train};
use crate::destination::Input;
use std::path::{Path, PathBuf};
use unprompt::data::SourceSpec;

impl Arguments {
    /// What is written, with the flag that names it.
    pub(crate) fn writes(&self) -> Vec<(&'static str, &Path)> {
        let mut writes = Vec::new();
        if let Some(out) = &self.common.out {
            writes.push(("--out", out.as_path()));
        }
        if let Command::Eval(eval) = &self.command
            && let Some(report) = &eval.report
        {
            writes.push(("--report", report.as_path()));
        }
        if let Command::Data {
            what: Data::Check(check),
        } = &self.command
            && let Some(groups) = &check.groups
        {
            writes.push(("--groups", groups.as_path()));
        }
        if let Command::Redraw(redraw) = &self.command
            && let Some(report) = &redraw.report
        {
            writes.push(("--report", report.as_path()));
        }
        writes
    }

    /// What is read: names of models and presets too, which may be paths.
    pub(crate) fn reads(&self) -> Vec<Input> {
        let mut inputs = Inputs::default();
        match &self.command {
            Command::Predict(predict) => {
                inputs.pictures(&predict.paths);
                inputs.others(&predict.preset);
                inputs.others(&predict.sidecars.replace);
                inputs.others(&predict.deny.deny);
            }
            Command::Caption(caption) => {
                inputs.pictures(&caption.paths);
                inputs.other(&caption.model);
                inputs.others(&caption.sidecars.replace);
                inputs.others(&caption.deny.deny);
            }
            Command::Interrogate(interrogate) => {
                inputs.pictures(&interrogate.paths);
                inputs.other(&interrogate.clip);
                inputs.other(&interrogate.captioner);
                inputs.others(&interrogate.tokenizer);
                inputs.others(&interrogate.labels);
                inputs.others(&interrogate.allow);
                inputs.others(&interrogate.deny);
                inputs.others(&interrogate.sidecars.replace);
            }
            Command::Classify(classify) => {
                inputs.pictures(&classify.paths);
                inputs.other(&classify.model);
            }
            Command::Embed { what } => match what {
                Embed::Image(embed) => {
                    inputs.pictures(&embed.paths);
                    inputs.other(&embed.model);
                }
                Embed::Text(embed) => {
                    inputs.others(&embed.file);
                    inputs.other(&embed.model);
                }
            },
            Command::Train { what } => {
                let (data, towers, encoder) = match what {
                    Train::Head(head) => (&head.data, head.tower.as_slice(), &head.encoder),
                    Train::Vit(vit) => (&vit.data, std::slice::from_ref(&vit.tower), &vit.encoder),
                };
                for spec in data.iter().flat_map(|spec| spec.parse::<SourceSpec>()) {
                    inputs.other(&spec.path);
                    inputs.others(&spec.images);
                }
                for tower in towers {
                    inputs.other(tower);
                }
                inputs.other(encoder);
            }
            Command::Data { what } => {
                let (data, encoder) = match what {
                    Data::Check(check) => (&check.data, &check.encoder),
                    Data::Split(split) => (&split.data, &split.encoder),
                };
                for spec in data.iter().flat_map(|spec| spec.parse::<SourceSpec>()) {
                    inputs.other(&spec.path);
                    inputs.others(&spec.images);
                }
                if let Data::Check(check) = what {
                    inputs.others(&check.against);
                    inputs.others(&check.pred);
                }
                inputs.other(encoder);
            }
            Command::Merge(merge) => inputs.pictures(std::slice::from_ref(&merge.job)),
            Command::Job { action } => match action {
                Job::Status { job, .. } => inputs.pictures(std::slice::from_ref(job)),
            },
            Command::Tokenize(tokenize) => inputs.other(&tokenize.model),
            Command::Metadata(metadata) => {
                inputs.pictures(&metadata.paths);
                inputs.others(&metadata.from);
            }
            Command::Score(score) => {
                inputs.other(&score.pred);
                inputs.other(&score.truth);
                inputs.other(&score.model);
            }
            Command::Eval(eval) => {
                inputs.pictures(&eval.paths);
                inputs.others(&eval.truth);
                inputs.pictures(eval.table1.as_slice());
                inputs.other(&eval.preset);
                inputs.others(&eval.judge);
                inputs.others(&eval.redraw.model);
            }
            Command::Blend { action } => match action {
                Blend::Fit(fit) => {
                    inputs.other(&fit.truth);
                    inputs.others(&fit.preset);
                    inputs.others(&fit.model);
                    for member in &fit.members {
                        inputs.other(member);
                        // `NAME=FILE`
                        inputs.others(&member.split_once('=').map(|(_, file)| file));
                    }
                }
            },
            Command::Index { action } => match action {
                Index::Build(build) => {
                    inputs.other(&build.prompts);
                    inputs.other(&build.clip);
                    inputs.other(&build.sentence);
                }
                Index::Search(search) => {
                    let (place, pictures) = search.places();
                    inputs.others(&place);
                    inputs.pictures(pictures);
                    inputs.others(&search.clip);
                    inputs.others(&search.sentence);
                }
                Index::Info(info) => {
                    info.places.iter().for_each(|place| inputs.other(place));
                    inputs.others(&info.index);
                }
                Index::Export(export) => inputs.other(&export.index),
            },
            Command::Models { action } => match action {
                Models::Import { paths } => paths.iter().for_each(|path| inputs.other(path)),
                Models::Pull { models }
                | Models::Verify { models }
                | Models::Path { models }
                | Models::Rm { models }
                | Models::Export { models } => models.iter().for_each(|model| inputs.other(model)),
                Models::List => {}
            },
            Command::Draw(draw) => {
                inputs.others(&draw.from);
                inputs.others(&draw.noise);
                inputs.other(&draw.how.model);
            }
            Command::Redraw(redraw) => {
                inputs.pictures(&redraw.paths);
                inputs.other(&redraw.preset);
                inputs.other(&redraw.how.model);
                inputs.others(&redraw.judge);
            }
            Command::Serve(serve) => {
                inputs.others(&serve.preset);
                inputs.others(&serve.labels);
                inputs.others(&serve.api_key_file);
            }
            Command::Mcp(mcp) => {
                inputs.others(&mcp.preset);
                inputs.others(&mcp.captioner);
            }
            Command::Bench(bench) => inputs.others(&bench.picture),
            Command::Doctor | Command::Completions(_) | Command::Man(_) | Command::Reference(_) => {
            }
        }
        inputs.0
    }
}

#[derive(Default)]
struct Inputs(Vec<Input>);

impl Inputs {
    /// Pictures, or folders of them in which results may stand.
    fn pictures(&mut self, paths: &[PathBuf]) {
        self.0.extend(paths.iter().map(|path| Input {
            path: path.clone(),
            holds_results: true,
        }));
    }

    fn other(&mut self, path: impl AsRef<Path>) {
        self.0.push(Input {
            path: path.as_ref().to_owned(),
            holds_results: false,
        });
    }

    fn others(&mut self, path: &Option<impl AsRef<Path>>) {
        if let Some(path) = path {
            self.other(path);
        }
    }
}
