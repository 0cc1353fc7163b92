//! `docs/policy.md` does what it says.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::support::binary::run;

/// The fenced pieces of one kind.
fn pieces<'d>(document: &'d str, kind: &str) -> Vec<&'d str> {
    let fence = format!("```yaml {kind}\n");
    let inside = document.split(&*fence).skip(1);
    inside.map(|piece| piece.split_once("```").unwrap().0).collect()
}

#[tokio::test]
async fn each_wish_of_the_guide_is_fulfilled() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/policy.md");
    let document = fs::read_to_string(path).unwrap();
    let [gateway] = pieces(&document, "gateway")[..] else { panic!("one gateway.yaml") };
    let (policies, cases) = (pieces(&document, "policy"), pieces(&document, "cases"));
    assert_eq!((policies.len(), cases.len()), (10, 10));
    for (policy, cases) in policies.into_iter().zip(cases) {
        let folder = TempDir::new().unwrap();
        for (name, text) in
            [("gateway.yaml", gateway), ("policy.yaml", policy), ("cases.yaml", cases)]
        {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let arguments = ["test", "--config", "gateway.yaml", "cases.yaml"];
        let ran = run(folder.path(), &arguments).await;
        assert_eq!(ran.code, Some(0), "{policy}\n{}{}", ran.out, ran.err);
    }
}
