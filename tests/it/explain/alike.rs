use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::page::ask;
use crate::support::{Gateway, Smh, becomes, request};

/// Names that the harness's gateway.yaml has, and globs that cover some of them.
fn selector() -> impl Strategy<Value = String> {
    let some = |field: &'static str, choices: &'static [&'static str]| {
        let chosen = prop::collection::vec(prop::sample::select(choices), 1..3);
        prop::option::weighted(0.4, chosen)
            .prop_map(move |globs| globs.map(|globs| format!("{field}: {globs:?}")))
    };
    let conditions = (
        some("callers", &["app", "other", "a*", "*"]),
        some("tenants", &["t1", "t2", "t*"]),
        some("paths", &["tmp/**", "tmp/a", "**/a", "*", "b/*"]),
        some("user_ids", &["guest*", "u1"]),
    );
    conditions.prop_map(|(callers, tenants, paths, users)| {
        let given: Vec<_> = [callers, tenants, paths, users].into_iter().flatten().collect();
        given.join(", ")
    })
}

fn rule() -> impl Strategy<Value = String> {
    let effect = prop::sample::select(&["deny", "allow_permanent"][..]);
    let mode = prop::sample::select(&["enforce", "enforce", "shadow"][..]);
    let until =
        prop::option::weighted(0.3, prop::sample::select(&["2020-01-01", "2090-01-01"][..]));
    let except =
        prop::option::weighted(0.3, selector().prop_filter("not empty", |s| !s.is_empty()));
    (effect, mode, until, selector(), except).prop_map(|(effect, mode, until, selector, except)| {
        let mut conditions: Vec<_> = Some(selector).into_iter().filter(|s| !s.is_empty()).collect();
        conditions.extend(except.map(|except| format!("except: {{ {except} }}")));
        let until = until.map(|until| format!(", until: {until}")).unwrap_or_default();
        format!("{effect}: {{ {} }}, mode: {mode}{until}", conditions.join(", "))
    })
}

fn policy() -> impl Strategy<Value = String> {
    let freeze = prop::sample::select(&["", "", "", "caller: other", "tenant: t2"][..]);
    let permanent = prop::sample::select(&["deny", "by_rule", "by_rule"][..]);
    let dry_run = prop::bool::weighted(0.2);
    (prop::collection::vec(rule(), 0..8), freeze, permanent, dry_run).prop_map(
        |(rules, freeze, permanent, dry_run)| {
            let mut policy = format!("dry_run: {dry_run}\npermanent_deletes: {permanent}\n");
            if !freeze.is_empty() {
                policy += &format!("freeze: [{{ {freeze} }}]\n");
            }
            policy += if rules.is_empty() { "rules: []\n" } else { "rules:\n" };
            for (number, rule) in rules.iter().enumerate() {
                policy += &format!("  - {{ name: rule {number}, {rule} }}\n");
            }
            policy
        },
    )
}

#[derive(Debug, Clone)]
struct Asked {
    tenant: &'static str,
    path: &'static str,
    permanent: bool,
    user_id: Option<&'static str>,
}

impl Asked {
    fn target(&self) -> String {
        let user = self.user_id.map(|user| format!("&user_id={user}")).unwrap_or_default();
        let permanent = u8::from(self.permanent);
        format!("/v1/files/{}/{}?permanent={permanent}{user}", self.tenant, self.path)
    }
}

fn asked() -> impl Strategy<Value = Asked> {
    let tenant = prop::sample::select(&["t1", "t1", "t2", "nowhere"][..]);
    let path = prop::sample::select(&["tmp/a", "a", "b/a", "x/y/z"][..]);
    let user_id = prop::option::of(prop::sample::select(&["u1", "guest7"][..]));
    (tenant, path, any::<bool>(), user_id).prop_map(|(tenant, path, permanent, user_id)| Asked {
        tenant,
        path,
        permanent,
        user_id,
    })
}

/// The decision, the code and the rule.
type Told = (String, Option<String>, Option<String>);

fn told(answer: &Value) -> Told {
    let text = |field: &str| answer[field].as_str().map(ToOwned::to_owned);
    (text("decision").unwrap(), text("code"), text("rule"))
}

/// What the real delete was answered with. Which rule let a permanent one through is in the log
/// alone.
async fn deleted(gateway: &Gateway, asked: &Asked, id: usize) -> Told {
    let answer =
        gateway.send(&request(&asked.target(), &[&format!("X-Request-Id: {id}"), CLOSE])).await;
    if matches!(answer.status(), 200 | 204 | 404) {
        return ("allow".to_owned(), None, None);
    }
    told(
        &json!({ "decision": "deny", "code": answer.json()["code"], "rule": answer.json()["rule"] }),
    )
}

/// The rule that each delete was logged with, once all are.
async fn logged(gateway: &Gateway, count: usize) -> BTreeMap<usize, Option<String>> {
    let lines = || {
        let lines = gateway.log.all().into_iter().filter_map(|line| {
            let id = line["request_id"].as_str()?.parse().ok()?;
            Some((id, line["rule"].as_str().map(ToOwned::to_owned)))
        });
        lines.collect::<BTreeMap<usize, _>>()
    };
    becomes("every delete is logged", async || lines().len() == count).await;
    lines()
}

/// For random policies and requests the delete, `X-Dry-Run` and `/api/explain` say the same, and
/// SMH gets exactly what was allowed. `test` is held to it where its cases are run.
#[tokio::test]
async fn the_server_a_dry_run_and_explain_decide_alike() {
    let smh = Smh::start().await;
    let mut runner = TestRunner::deterministic();
    let (policies, requests) = (policy(), prop::collection::vec(asked(), REQUESTS));
    let mut seen = BTreeSet::new();
    for _ in 0..POLICIES {
        let policy = policies.new_tree(&mut runner).unwrap().current();
        let gateway = Gateway::with_policy(&policy, smh.address).await;
        let mut rules = BTreeMap::new();
        for (id, asked) in requests.new_tree(&mut runner).unwrap().current().iter().enumerate() {
            let context = || format!("{asked:?}\n{policy}");
            let before = smh.targets().len();
            let question = json!({
                "caller": "app", "tenant": asked.tenant, "path": asked.path,
                "permanent": asked.permanent, "user_id": asked.user_id,
            });
            let explained = told(&ask(&gateway, &question).await.json());
            let dry = request(&asked.target(), &["X-Dry-Run: 1", CLOSE]);
            let dry = gateway.send(&dry).await;
            assert_eq!(dry.status(), 202, "{}", context());
            assert_eq!(told(&dry.json()), explained, "{}", context());
            assert_eq!(smh.targets().len(), before, "{}", context());

            let (decision, code, rule) = deleted(&gateway, asked, id).await;
            let (wanted, wanted_code, wanted_rule) = explained;
            assert_eq!((&decision, &code), (&wanted, &wanted_code), "{}", context());
            assert_eq!(rule, wanted_rule.clone().filter(|_| decision == "deny"), "{}", context());
            let sent = usize::from(decision == "allow");
            assert_eq!(smh.targets().len(), before + sent, "{}", context());
            seen.insert(code);
            rules.insert(id, wanted_rule);
        }
        assert_eq!(logged(&gateway, REQUESTS).await, rules, "{policy}");
    }
    let codes: Vec<_> = seen.into_iter().flatten().collect();
    let wanted =
        ["DeniedByRule", "Frozen", "InvalidQuery", "PermanentDeleteBlocked", "TenantNotGranted"];
    assert_eq!(codes, wanted, "every kind of decision came up");
}

const POLICIES: usize = 60;
const REQUESTS: usize = 24;

/// So that nobody waits for a second answer.
const CLOSE: &str = "Connection: close";
