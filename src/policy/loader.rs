//! From files to a policy set: read, compile, lint, check hooks, try on built-in people, run the owner's tests.
//!
//! Only files that a chain names, and what those use (libraries, templates, tests), count: a broken file that nobody
//! uses refuses nothing. All problems of a stage are reported together.

use super::{
    Inner, Policy, PolicySet, engine,
    error::{ErrorKind, LoadError, PolicyError, explain_parse},
    lint, samples, selftest,
    template::Templates,
    vocabulary,
};
use crate::config::{ChainLink, Config, ScriptLimits};
use rhai::{AST, Engine, Module, Scope};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What to load.
#[derive(Clone, Debug)]
pub struct LoadSpec {
    /// The policies folder.
    pub dir: PathBuf,
    /// Every chain of the configuration.
    pub chains: Vec<ChainSpec>,
    /// Limits of one run.
    pub limits: ScriptLimits,
}

impl LoadSpec {
    /// What a configuration asks for: the chain of every group. The chain for events without a group is loaded as far as
    /// it is there, because no hook of this version calls it.
    pub fn of(config: &Config) -> Self {
        let there = |link: &&ChainLink| config.policies.dir.join(format!("{}.rhai", link.policy)).exists();
        let events = ChainSpec {
            block: "policies".into(),
            links: config.policies.chain.iter().filter(there).cloned().collect(),
            params: serde_json::Map::new(),
        };
        let groups = config.groups.iter().map(|group| ChainSpec {
            block: group.name.clone(),
            links: group.chain.clone(),
            params: group.params.clone(),
        });
        let chains = std::iter::once(events).chain(groups).collect();
        Self { dir: config.policies.dir.clone(), chains, limits: config.policies.limits }
    }
}

/// One chain of the configuration.
#[derive(Clone, Debug)]
pub struct ChainSpec {
    /// The block it stands in, for messages: a group's name, or `policies`.
    pub block: String,
    /// The policies, in order.
    pub links: Vec<ChainLink>,
    /// The parameters they see.
    pub params: serde_json::Map<String, serde_json::Value>,
}

/// Content hash as lower-case hex.
pub(super) fn digest<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hex::encode(hash.finalize())
}

/// Reads and checks a set of policies: compiles, lints, checks the hooks, tries each policy on built-in people, runs
/// `policies/tests`. Reads files; nothing else is touched.
///
/// # Errors
/// Everything found wrong, with file and line.
pub fn load(spec: &LoadSpec) -> Result<PolicySet, LoadError> {
    load_from(spec, false)
}

/// The same; `kept`: the folder holds only the files of an earlier good set, so a test of a policy that is not there is
/// left out instead of failing.
pub(super) fn load_from(spec: &LoadSpec, kept: bool) -> Result<PolicySet, LoadError> {
    let mut stage = Stage {
        dir: &spec.dir,
        engine: engine::build(&spec.limits),
        sources: BTreeMap::new(),
        problems: Vec::new(),
    };
    let scripts = stage.read_policies(spec);
    let libraries = stage.load_libraries(&scripts);
    stage.settle()?;
    let compiled = stage.compile(&scripts);
    stage.settle()?;
    let set = stage.finish(spec, &libraries, compiled, kept)?;
    let mut problems = samples::try_all(&set, spec);
    if problems.is_empty() {
        problems = selftest::run(&set).failures;
    }
    if problems.is_empty() { Ok(set) } else { Err(LoadError { problems }) }
}

/// The load as far as it got.
struct Stage<'a> {
    dir: &'a Path,
    engine: Engine,
    sources: BTreeMap<String, String>,
    problems: Vec<PolicyError>,
}

/// A library: its functions with their numbers of parameters, and the libraries it uses.
type Libraries = BTreeMap<String, (AST, Vec<(String, usize)>)>;

impl Stage<'_> {
    fn settle(&mut self) -> Result<(), LoadError> {
        if self.problems.is_empty() {
            return Ok(());
        }
        Err(LoadError { problems: std::mem::take(&mut self.problems) })
    }

    /// The text of a file of the folder; a problem is noted.
    fn read(&mut self, file: &str, missing: impl FnOnce() -> String) -> Option<String> {
        let problem = match std::fs::read(self.dir.join(file)) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => {
                    self.sources.insert(file.into(), text.clone());
                    return Some(text);
                }
                Err(_) => PolicyError::general(ErrorKind::Syntax, file, "the file is not UTF-8 text"),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                PolicyError::general(ErrorKind::Missing, file, missing())
            }
            Err(error) => {
                PolicyError::general(ErrorKind::Missing, file, format!("the file cannot be read: {error}"))
            }
        };
        self.problems.push(problem);
        None
    }

    /// Every policy that a chain names, once.
    fn read_policies(&mut self, spec: &LoadSpec) -> BTreeMap<String, String> {
        let mut scripts = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (block, link) in
            spec.chains.iter().flat_map(|chain| chain.links.iter().map(move |l| (&chain.block, l)))
        {
            let name = &link.policy;
            if !seen.insert(name.clone()) {
                continue;
            }
            let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_');
            let present = file_stems(self.dir, "rhai");
            let missing = || {
                let hint = vocabulary::did_you_mean(name, present.iter().map(String::as_str));
                format!("the chain of `{block}` names a policy `{name}` that does not exist{hint}")
            };
            if !plain {
                self.problems.push(PolicyError::general(ErrorKind::Missing, "", missing()));
            } else if let Some(text) = self.read(&format!("{name}.rhai"), missing) {
                scripts.insert(name.clone(), text);
            }
        }
        scripts
    }

    /// Compiles the libraries that are used, those first that others use, and hands them to the engine.
    fn load_libraries(&mut self, scripts: &BTreeMap<String, String>) -> Libraries {
        let mut texts: BTreeMap<String, String> = BTreeMap::new();
        let mut wanted: Vec<String> = scripts.values().flat_map(|text| namespaces(text)).collect();
        while let Some(name) = wanted.pop() {
            let file = format!("lib/{name}.rhai");
            if texts.contains_key(&name) || !self.dir.join(&file).is_file() {
                continue;
            }
            if let Some(text) = self.read(&file, String::new) {
                wanted.extend(namespaces(&text));
                texts.insert(name, text);
            }
        }
        let mut done = Libraries::new();
        while !texts.is_empty() {
            let ready = |text: &str| namespaces(text).iter().all(|used| !texts.contains_key(used));
            let Some(name) = texts.iter().find(|(_, text)| ready(text)).map(|(name, _)| name.clone()) else {
                let names = texts.keys().cloned().collect::<Vec<_>>().join("`, `");
                let why = format!("the libraries `{names}` use each other in a circle");
                self.problems.push(PolicyError::general(ErrorKind::Word, "", why));
                break;
            };
            let text = texts.remove(&name).unwrap_or_default();
            if let Some(ast) = self.compile_one(&format!("lib/{name}.rhai"), &text) {
                match Module::eval_ast_as_new(Scope::new(), &ast, &self.engine) {
                    Ok(module) => {
                        self.engine.register_static_module(&name, module.into());
                    }
                    Err(error) => {
                        let why = super::error::explain(&error).message;
                        self.problems.push(PolicyError::general(
                            ErrorKind::Run,
                            &format!("lib/{name}.rhai"),
                            why,
                        ));
                    }
                }
                let functions = ast.iter_functions().map(|f| (f.name.to_owned(), f.params.len())).collect();
                done.insert(name, (ast, functions));
            }
        }
        done
    }

    fn compile_one(&mut self, file: &str, text: &str) -> Option<AST> {
        match self.engine.compile_with_scope(&engine::ambient(), text) {
            Ok(mut ast) => {
                if let Some(statement) = ast.statements().first() {
                    let why =
                        "only functions can stand at the top of a policy: move this into a hook like on_join";
                    let at = statement.position();
                    self.problems.push(PolicyError::at(ErrorKind::Syntax, file, text, at, why));
                    return None;
                }
                ast.set_source(file);
                Some(ast)
            }
            Err(error) => {
                let (kind, message, position) = explain_parse(&error);
                self.problems.push(PolicyError::at(kind, file, text, position, message));
                None
            }
        }
    }

    fn compile(&mut self, scripts: &BTreeMap<String, String>) -> BTreeMap<String, AST> {
        scripts
            .iter()
            .filter_map(|(name, text)| Some((name.clone(), self.compile_one(&format!("{name}.rhai"), text)?)))
            .collect()
    }

    /// Lints everything and puts the set together.
    fn finish(
        mut self,
        spec: &LoadSpec,
        libraries: &Libraries,
        compiled: BTreeMap<String, AST>,
        kept: bool,
    ) -> Result<PolicySet, LoadError> {
        let (templates, files) = read_templates(self.dir);
        let functions =
            libraries.iter().map(|(name, (_, functions))| (name.clone(), functions.clone())).collect();
        let params = spec.chains.iter().flat_map(|chain| lint::keys_of(&chain.params)).collect();
        let words = lint::Words { libraries: &functions, params: &params, templates: &templates };
        let mut library_files = Vec::new();
        for (name, (ast, _)) in libraries {
            let file = format!("lib/{name}.rhai");
            library_files.extend(self.lint(&file, ast, &words, false, &files));
            library_files.push(file);
        }
        let mut policies = BTreeMap::new();
        let mut warnings = Vec::new();
        for (name, ast) in compiled {
            let file = format!("{name}.rhai");
            let mut used = self.lint(&file, &ast, &words, true, &files);
            used.extend(library_files.iter().cloned());
            used.push(file.clone());
            used.sort();
            used.dedup();
            let hash = digest(used.iter().flat_map(|file| [file.as_str(), self.text(file)]));
            let hooks = lint::hooks(&ast);
            warnings.extend(lint::warning(&name, &ast, &hooks));
            policies.insert(name, Policy { file, ast, hash, hooks });
        }
        self.settle()?;
        let (tests, broken) = selftest::find(self.dir, &policies.keys().cloned().collect(), kept);
        self.problems.extend(broken);
        self.settle()?;
        for test in &tests {
            self.sources.insert(test.file.clone(), test.text.clone());
        }
        let hash = digest(self.sources.iter().flat_map(|(file, text)| [file.as_str(), text.as_str()]));
        let inner = Inner {
            engine: self.engine,
            limits: spec.limits,
            policies,
            templates: Arc::new(templates),
            sources: self.sources,
            tests,
            warnings,
            hash,
        };
        Ok(PolicySet { inner: Arc::new(inner) })
    }

    fn text(&self, file: &str) -> &str {
        self.sources.get(file).map_or("", String::as_str)
    }

    /// Lints one script; the files of the templates it uses become part of the set.
    fn lint(
        &mut self,
        file: &str,
        ast: &AST,
        words: &lint::Words<'_>,
        hooks: bool,
        templates: &BTreeMap<String, String>,
    ) -> Vec<String> {
        let findings = lint::check(ast, words, hooks);
        for (position, message) in findings.mistakes {
            let problem = PolicyError::at(ErrorKind::Word, file, self.text(file), position, message);
            self.problems.push(problem);
        }
        let mut used = Vec::new();
        for (file, text) in templates {
            let stem = file.trim_start_matches("templates/").trim_end_matches(".txt");
            let name = stem.split('.').next().unwrap_or(stem);
            if findings.any_template || findings.templates.contains(name) {
                self.sources.insert(file.clone(), text.clone());
                used.push(file.clone());
            }
        }
        used
    }
}

/// The names of a folder's files with an extension, without it.
pub(super) fn file_stems(dir: &Path, extension: &str) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut stems: Vec<String> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    stems.sort();
    stems
}

/// Every readable text of `templates/`, and the files by path.
fn read_templates(dir: &Path) -> (Templates, BTreeMap<String, String>) {
    let mut templates = Templates::default();
    let mut files = BTreeMap::new();
    for stem in file_stems(&dir.join("templates"), "txt") {
        let file = format!("templates/{stem}.txt");
        if let Ok(text) = std::fs::read_to_string(dir.join(&file)) {
            templates.insert(&stem, &text);
            files.insert(file, text);
        }
    }
    (templates, files)
}

/// The `NAME` of every `NAME::…` in a script. Comments are not left out: a library named there is compiled in vain.
fn namespaces(text: &str) -> Vec<String> {
    let pieces: Vec<&str> = text.split("::").collect();
    let named = pieces.len().saturating_sub(1);
    pieces[..named]
        .iter()
        .filter_map(|before| {
            let start = before.rfind(|c: char| !(c.is_alphanumeric() || c == '_')).map_or(0, |at| at + 1);
            let name = before.get(start..).unwrap_or_default();
            (!name.is_empty()).then(|| name.to_owned())
        })
        .collect()
}
