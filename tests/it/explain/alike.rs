use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use smh_gateway::run::Running;
use smh_gateway::simulator::{Library, RecycleBin, TokenSpec};

use super::page::ask;
use crate::support::{
    Folder, GATEWAY_YAML, Gateway, KEY, Lines, OTHER_KEY, Smh, becomes, load, request,
};

/// The harness's gateway.yaml; in it `other` has grants, and there is a library without a bin.
fn gateway_yaml() -> String {
    GATEWAY_YAML
        .replace(
            "tenants:\n",
            "  final: { token: { file: final.token }, recycle_bin: off }\ntenants:\n",
        )
        .replace("callers:\n", "  t3: { library: final, space: spacexxx }\ncallers:\n")
        .replace("tenants: [t1, t2]", "tenants: [t1, t2, t3]")
        .replace("tenants: []", "tenants: [t2, t3]")
}

const FINAL_TOKEN: &str = "acctksentinelfinal0123456789abcdef0123456789";

async fn smh() -> Smh {
    let smh = Smh::start().await;
    let library = Library::multi_tenant("final", "sentinel-library-secret");
    smh.simulator.add_library(library.with_recycle_bin(RecycleBin::Off));
    smh.simulator.add_space("final", "spacexxx");
    let token = TokenSpec::new("final").with_grant("delete_file_permanent");
    smh.simulator.issue_token(token.with_grant("delete_file").with_value(FINAL_TOKEN));
    smh
}

async fn gateway(policy: &str, smh: &Smh) -> Gateway {
    let folder = Folder::new(&gateway_yaml(), Some(policy), smh.address);
    folder.write("final.token", FINAL_TOKEN);
    let (snapshot, _) = load(&folder.path("gateway.yaml"));
    let log = Lines::default();
    let running = Running::start(snapshot, log.clone()).await.unwrap();
    Gateway { running, folder, log }
}

/// Names that this gateway.yaml has, and globs that cover some of them.
fn selector() -> impl Strategy<Value = String> {
    let some = |field: &'static str, choices: &'static [&'static str]| {
        let chosen = prop::collection::vec(prop::sample::select(choices), 1..3);
        prop::option::weighted(0.4, chosen)
            .prop_map(move |globs| globs.map(|globs| format!("{field}: {globs:?}")))
    };
    let conditions = (
        some("callers", &["app", "other", "a*", "*"]),
        some("tenants", &["t1", "t2", "t3", "t*"]),
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
    let freeze =
        prop::sample::select(&["", "", "", "caller: other", "tenant: t2", "tenant: t3"][..]);
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
    caller: &'static str,
    tenant: &'static str,
    path: &'static str,
    permanent: bool,
    user_id: Option<&'static str>,
}

impl Asked {
    /// The delete itself, with one more field.
    fn request(&self, field: &str) -> String {
        let key = if self.caller == "app" { KEY } else { OTHER_KEY };
        request(&self.target(), &[field, CLOSE]).replace(KEY, key)
    }

    /// Whether nothing could bring the file back.
    fn is_final(&self) -> bool {
        self.permanent || self.tenant == "t3"
    }

    fn target(&self) -> String {
        let user = self.user_id.map(|user| format!("&user_id={user}")).unwrap_or_default();
        let permanent = u8::from(self.permanent);
        format!("/v1/files/{}/{}?permanent={permanent}{user}", self.tenant, self.path)
    }
}

fn asked() -> impl Strategy<Value = Asked> {
    let caller = prop::sample::select(&["app", "app", "other"][..]);
    let tenant = prop::sample::select(&["t1", "t1", "t2", "t3", "nowhere"][..]);
    let path = prop::sample::select(&["tmp/a", "a", "b/a", "x/y/z"][..]);
    let user_id = prop::option::of(prop::sample::select(&["u1", "guest7"][..]));
    let asked = (caller, tenant, path, any::<bool>(), user_id);
    asked.prop_map(|(caller, tenant, path, permanent, user_id)| Asked {
        caller,
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
    let answer = gateway.send(&asked.request(&format!("X-Request-Id: {id}"))).await;
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

/// The checks and the rules of an explanation say what its decision says.
fn agrees_with_itself(explanation: &Value, asked: &Asked, context: &str) {
    let (decision, code, rule) = told(explanation);
    let checks = explanation["checks"].as_array().unwrap();
    let verdicts: Vec<_> = checks.iter().map(|check| check["verdict"].as_str().unwrap()).collect();
    let refused = verdicts.iter().position(|verdict| *verdict != "passed");
    match (decision.as_str(), refused) {
        ("allow", None) => assert_eq!(code, None, "{context}"),
        ("deny", Some(at)) => {
            let step = STEPS.iter().find(|(of, _)| Some(*of) == code.as_deref()).unwrap().1;
            assert_eq!(
                (&checks[at]["check"], verdicts[at]),
                (&json!(step), "refused"),
                "{context}"
            );
            assert!(verdicts[at + 1..].iter().all(|one| *one == "not reached"), "{context}");
        }
        _ => panic!("{decision} with {verdicts:?}: {context}"),
    }
    let why = |step: &str| {
        let check = checks.iter().find(|check| check["check"] == step).unwrap();
        check["why"].as_str().unwrap()
    };
    if refused.is_none() {
        let goes_to_the_bin = why("permanent deletes").contains("recycle bin");
        assert_eq!(goes_to_the_bin, !asked.is_final(), "{context}");
        let only_count = why("rules").contains("only count");
        assert!(!only_count || !asked.is_final(), "{context}");
    }
    let rules = explanation["rules"].as_array().unwrap();
    let (deciding, others): (Vec<_>, Vec<_>) = rules.iter().partition(|one| one["decides"] == true);
    assert_eq!(deciding.len(), usize::from(rule.is_some()), "{context}");
    let allows = |rule: &Value| rule["effect"] == "allow_permanent";
    for one in &deciding {
        assert_eq!(one["rule"].as_str(), rule.as_deref(), "{context}");
        assert_eq!((&one["applies"], &one["mode"]), (&json!(true), &json!("enforce")), "{context}");
        assert_eq!(allows(one), decision == "allow", "{context}");
        let step = if allows(one) { "permanent deletes" } else { "rules" };
        assert!(why(step).contains(rule.as_deref().unwrap()), "{context}");
    }
    if let (Some("DeniedByRule"), Some(rule)) = (code.as_deref(), &rule) {
        assert!(!why("permanent deletes").contains(rule), "{context}");
    }
    let one_allows = deciding.iter().any(|one| allows(one));
    for other in others.into_iter().filter(|other| allows(other)) {
        let too = other["why"].as_str().unwrap().ends_with(", too");
        assert!(!too || one_allows, "{other}: {context}");
    }
}

/// Each code, and the check that refuses with it.
const STEPS: [(&str, &str); 5] = [
    ("DeniedByRule", "rules"),
    ("Frozen", "freeze"),
    ("InvalidQuery", "user_id"),
    ("PermanentDeleteBlocked", "permanent deletes"),
    ("TenantNotGranted", "tenant grant"),
];

/// For random policies and requests the delete, `X-Dry-Run` and `/api/explain` say the same, and
/// SMH gets exactly what was allowed. `test` is held to it where its cases are run.
#[tokio::test]
async fn the_server_a_dry_run_and_explain_decide_alike() {
    let smh = smh().await;
    let mut runner = TestRunner::deterministic();
    let (policies, requests) = (policy(), prop::collection::vec(asked(), REQUESTS));
    let mut seen = BTreeSet::new();
    for _ in 0..POLICIES {
        let policy = policies.new_tree(&mut runner).unwrap().current();
        let gateway = gateway(&policy, &smh).await;
        let mut rules = BTreeMap::new();
        for (id, asked) in requests.new_tree(&mut runner).unwrap().current().iter().enumerate() {
            let context = || format!("{asked:?}\n{policy}");
            let before = smh.targets().len();
            let question = json!({
                "caller": asked.caller, "tenant": asked.tenant, "path": asked.path,
                "permanent": asked.permanent, "user_id": asked.user_id,
            });
            let explanation = ask(&gateway, &question).await.json();
            agrees_with_itself(&explanation, asked, &context());
            let explained = told(&explanation);
            let dry = gateway.send(&asked.request("X-Dry-Run: 1")).await;
            assert_eq!(dry.status(), 202, "{}", context());
            assert_eq!(told(&dry.json()), explained, "{}", context());
            assert_eq!(smh.targets().len(), before, "{}", context());

            let (decision, code, rule) = deleted(&gateway, asked, id).await;
            let (wanted, wanted_code, wanted_rule) = explained;
            assert_eq!((&decision, &code), (&wanted, &wanted_code), "{}", context());
            assert_eq!(rule, wanted_rule.clone().filter(|_| decision == "deny"), "{}", context());
            let sent = usize::from(decision == "allow");
            assert_eq!(smh.targets().len(), before + sent, "{}", context());
            seen.insert((code, asked.is_final() && !asked.permanent));
            rules.insert(id, wanted_rule);
        }
        assert_eq!(logged(&gateway, REQUESTS).await, rules, "{policy}");
    }
    let codes = seen.iter().filter_map(|(code, _)| code.as_deref()).collect::<BTreeSet<_>>();
    assert_eq!(codes, STEPS.map(|(code, _)| code).into(), "every kind of decision came up");
    for code in [None, Some("DeniedByRule"), Some("PermanentDeleteBlocked")] {
        let of_no_bin = (code.map(ToOwned::to_owned), true);
        assert!(seen.contains(&of_no_bin), "{code:?} came up where there is no bin");
    }
}

const POLICIES: usize = 60;
const REQUESTS: usize = 24;

/// So that nobody waits for a second answer.
const CLOSE: &str = "Connection: close";
