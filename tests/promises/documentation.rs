//! What the documentation tells people to write is accepted as it stands there.

use std::path::Path;

use crate::support::command::tidegate;

/// Where a block of YAML stands in a page, and what it says.
struct Block {
    line: usize,
    section: String,
    yaml: String,
}

/// The blocks of YAML of a page.
fn blocks(page: &str) -> Vec<Block> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
    let mut blocks = Vec::new();
    let mut section = String::new();
    let mut open: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        match &mut open {
            Some(_) if line == "```" => blocks.extend(open.take()),
            Some(block) => {
                block.yaml.push_str(line);
                block.yaml.push('\n');
            }
            None if line == "```yaml" => {
                open = Some(Block {
                    line: number + 1,
                    section: section.clone(),
                    yaml: String::new(),
                });
            }
            None => {
                if let Some(title) = line.strip_prefix("##") {
                    section = title.trim_start_matches('#').trim().to_owned();
                }
            }
        }
    }
    assert!(open.is_none(), "{page} has a block without an end");
    blocks
}

/// `tidegate check` on each block by itself: no errors, and no other warnings than those about
/// Secrets, which belong to the reader, and those that the page announces.
#[test]
fn every_recipe_passes_check() {
    let announced = [
        // No list to look a channel up in; what a lost answer leaves behind expires by itself.
        ("Google Calendar", "without lookup"),
        // The app's one URL stays set.
        ("HubSpot", "without unsubscribe"),
    ];
    let blocks = blocks("docs/subscriptions.md");
    assert!(blocks.len() >= 10, "{}", blocks.len());
    let folder = tempfile::tempdir().unwrap();
    for Block {
        line,
        section,
        yaml,
    } in blocks
    {
        let file = folder.path().join(format!("line-{line}.yaml"));
        std::fs::write(&file, yaml).unwrap();
        let ran = tidegate(&["check", file.to_str().unwrap(), "--output", "json"]);
        let problems = ran.json();
        let unexpected: Vec<_> = problems["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|problem| {
                let message = problem["message"].as_str().unwrap();
                let is_announced = announced.iter().any(|(provider, words)| {
                    section.starts_with(provider) && message.contains(words)
                });
                let is_readers = message.ends_with("does not exist")
                    || message.contains("spec.app has no field");
                problem["severity"] != "warning" || !(is_announced || is_readers)
            })
            .collect();
        assert!(
            ran.code == 0 && unexpected.is_empty(),
            "docs/subscriptions.md, line {line} ({section}): {unexpected:#?}"
        );
    }
}

/// The names of metrics in a text.
pub fn metrics(text: &str) -> std::collections::BTreeSet<String> {
    let is_name = |it: char| it.is_ascii_alphanumeric() || it == '_';
    let words = text.split(|it: char| !is_name(it));
    let ours = words.filter(|word| word.starts_with("tidegate_"));
    ours.map(str::to_owned).collect()
}

/// Every metric that `/metrics` shows (`exposed`) is in the documentation.
pub fn documents_all_of(exposed: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/observability.md");
    let documented = metrics(&std::fs::read_to_string(page).unwrap());
    let mut count = 0;
    for line in exposed.lines() {
        let Some(rest) = line.strip_prefix("# TYPE ") else {
            continue;
        };
        let (name, kind) = rest.split_once(' ').unwrap();
        let name = match kind {
            "counter" => format!("{name}_total"),
            _ => name.to_owned(),
        };
        assert!(
            documented.contains(&name),
            "{name} is not in docs/observability.md"
        );
        count += 1;
    }
    assert!(count > 5, "{exposed}");
}

#[test]
fn every_metric_in_the_documentation_is_registered_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = String::new();
    for file in [
        "src/gateway/metrics.rs",
        "src/delivery/metrics.rs",
        "src/engine/metrics.rs",
        "src/pod/metrics.rs",
        "src/controller/metrics.rs",
        "src/provision/driver/metrics.rs",
    ] {
        sources.push_str(&std::fs::read_to_string(root.join(file)).unwrap());
    }
    let documented = metrics(&std::fs::read_to_string(root.join("docs/observability.md")).unwrap());
    assert!(documented.len() > 40);
    for name in documented {
        let prefixes = [
            "delivery_",
            "configuration_",
            "controller_",
            "provision_",
            "",
        ];
        let base = name.strip_prefix("tidegate_").unwrap();
        let base = prefixes
            .iter()
            .find_map(|prefix| base.strip_prefix(prefix))
            .unwrap();
        let suffixes = ["_total", "_seconds", "_bytes"];
        let mut forms = vec![base];
        for suffix in suffixes {
            forms.extend(
                forms
                    .clone()
                    .iter()
                    .filter_map(|it| it.strip_suffix(suffix)),
            );
        }
        let is_there = forms
            .iter()
            .any(|form| sources.contains(&format!("\"{form}\"")));
        assert!(is_there, "{name} is nowhere");
    }
}
