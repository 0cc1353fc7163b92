//! What the gateway refuses, the schemas refuse: files with one mistake each.

use smh_gateway::config::schema::Format;

use super::{decoded, errors, parsed, sample};

/// In the sample, this text stands for that one.
const GATEWAY: &[(&str, &str)] = &[
    ("ease_off: true", "ease_off: yes"),
    ("when_unavailable: refuse", "when_unavailable: fail"),
    ("replicas: 3", "replicas: 0"),
    ("ratelimit_headers: all", "ratelimit_headers: always"),
    ("durability: buffered", "durability: maybe"),
    ("when_unavailable: continue", "when_unavailable: local"),
    ("mib: 256", "mib: 0"),
    ("mib: 256", "mib: 65537"),
    ("files: 30", "files: 0"),
    ("age: 90d", "age: 0d"),
    ("compress: true", "compress: gzip"),
    ("rediss://store:26379/1", "rediss://user:secret@store:26379/1"),
    ("rediss://store:26379/1", "http://store:26379/1"),
    ("rediss://store:26379/1", "rediss://store:26379/x"),
    ("    password: { file: redis.password }\n", ""),
    ("    password: { file: redis.password }", "    password: secret"),
    ("key_prefix: limits/production", "key_prefix: \"{a}\""),
    ("response_timeout: 20ms", "response_timeout: 20"),
    ("service: mymaster, ", ""),
    ("    username: gateway", "    url: redis://store\n    username: gateway"),
    ("lib-env: { token: { env: SMH_UNDO_TOKEN } }", "lib-env: { token: acctk1 }"),
    ("lib-env: { token: { env: SMH_UNDO_TOKEN } }", "lib-env: {}"),
    ("  file: undo.jsonl\n", "  token: { env: SMH_UNDO_TOKEN }\n"),
    (", grant_reason: undo }", " }"),
    ("period: 1h, ", "max_age: 1h, "),
    // Fields.
    ("workers: 2\n", "worker: 2\n"),
    ("    smh_paths: true\n", "    smh_path: true\n"),
    ("recycle_bin: off", "recyclebin: off"),
    ("admin:\n  address:", "admin:\n  addr:"),
    ("  connect_timeout:", "  connect-timeout:"),
    ("drain: 25s", "drian: 25s"),
    ("deletes: stdout", "delete: stdout"),
    ("{ fixed: 1234 }", "{ fixed: 1234, forward: true }"),
    ("client_ca: ca.crt", "ca: ca.crt"),
    ("subject: \"system:*\",", "subject: \"system:*\", sub: x,"),
    // What is missing.
    ("  - address: 127.0.0.1:8443\n    tls:", "  - tls:"),
    ("certificate: tls.crt, ", ""),
    ("library: lib-env, space: \"-\"", "library: lib-env"),
    ("library_secret: { file: library-secret }\n        ", ""),
    ("    audience: smh-gateway\n    algorithms: ES256\n", "    algorithms: ES256\n"),
    ("issuer: cluster, subject", "subject"),
    ("    spiffe_id: spiffe://cluster.local/ns/media/sa/thumbnailer\n", ""),
    (
        "    api_key: [{ file: janitor.key }, { file: next.key }]\n    tenants: [photos, videos]\n",
        "    api_key: { file: janitor.key }\n",
    ),
    ("workers: 2\n", "workers:\n"),
    // Fields that exclude each other.
    ("    plaintext: true\n", "    plaintext: true\n    unix: other.sock\n"),
    ("    plaintext: true\n", "    plaintext: true\n    mode: \"0660\"\n"),
    ("    smh_paths: true\n", "    plaintext: true\n"),
    ("    group: media\n", "    group: media\n    tls: { certificate: a, private_key: b }\n"),
    ("{ env: SMH_TOKEN }", "{ env: SMH_TOKEN, file: token }"),
    ("{ env: SMH_TOKEN }", "{}"),
    ("{ file: jwks.json }", "{ file: jwks.json, ca_file: ca.crt }"),
    ("{ file: jwks.json }", "{ file: jwks.json, url: \"https://a\" }"),
    ("        grant_reason: the janitor purges\n", ""),
    // Secrets that stand there themselves.
    ("{ env: SMH_TOKEN }", "acctk0123456789"),
    ("{ file: janitor.key }", "key0123456789abcdef"),
    ("{ env: LIBRARY_SECRET }", "secret0123456789"),
    ("{ file: bearer }", "bearer0123456789"),
    ("private_key: tls.key", "private_key: \"-----BEGIN PRIVATE KEY-----\""),
    // Values.
    ("127.0.0.1:8443", "127.0.0.1"),
    ("127.0.0.1:8443", "localhost:8443"),
    ("    smh_paths: true\n", "    smh_paths: \"true\"\n"),
    ("    smh_paths: true\n", "    smh_paths: yes\n"),
    ("mode: \"0660\"", "mode: \"0888\""),
    ("mode: \"0660\"", "mode: \"1660\""),
    ("connect_timeout: 250ms", "connect_timeout: 250"),
    ("connect_timeout: 250ms", "connect_timeout: 0s"),
    ("timeout: 10s", "timeout: 1.5s"),
    ("timeout: 10s", "timeout: 10 s"),
    ("delay: 0s", "delay: 0"),
    ("max_in_flight: 1000", "max_in_flight: 0"),
    ("max_in_flight: 1000", "max_in_flight: \"1000\""),
    ("max_in_flight: 300", "max_in_flight: 0"),
    ("max_in_flight: 300", "max_in_flight: 30%"),
    ("    max_in_flight: 300\n", "    max_in_flight:\n"),
    ("connections: 5000", "connections: 0"),
    ("connections: 5000", "connections: 5k"),
    ("connections: 5000", "connection: 5000"),
    ("streams: 100", "streams: 0"),
    ("streams: 100", "streams: 100001"),
    ("head_bytes: 16384", "head_bytes: 1023"),
    ("head_bytes: 16384", "head_bytes: 262145"),
    ("head_bytes: 16384", "head_bytes: 16KiB"),
    ("per_address: 50", "per_address: 0"),
    ("per_address: 50", "per_address: none"),
    ("head_timeout: 5s", "head_timeout: 0s"),
    ("idle_timeout: 65s", "idle_timeout: 65"),
    ("answer_timeout: 20s", "answer_timeout: off"),
    ("max_age: 30m", "max_age: 0m"),
    ("private_addresses: allow", "private_addresses: true"),
    ("workers: 2\n", "workers: 257\n"),
    ("workers: 2\n", "workers: -1\n"),
    ("token_in: header", "token_in: Header"),
    ("recycle_bin: off", "recycle_bin: false"),
    ("deletes: stdout", "deletes: stderr"),
    ("user_id: forbid", "user_id: forbidden"),
    ("{ fixed: 1234 }", "{ fixed: \"\" }"),
    ("url: http://localhost:9000", "url: ftp://localhost:9000"),
    ("url: http://localhost:9000", "url: http://localhost:9000/path"),
    ("url: http://localhost:9000", "url: http://user@localhost:9000"),
    ("env: SMH_TOKEN", "env: 2SMH_TOKEN"),
    ("{ file: token }", "{ file: \"\" }"),
    ("grant: delete_file, delete_file_permanent", "grant: delete_file, delete_everything"),
    ("4191d71e", "4191d71"),
    ("4191d71e", "g191d71e"),
    ("spiffe://cluster.local/ns/media/sa/thumbnailer", "https://cluster.local/ns/media"),
    ("spiffe://cluster.local/ns/media/sa/thumbnailer", "spiffe://cluster.local"),
    ("spiffe://cluster.local/ns/media/sa/thumbnailer", "spiffe://Cluster.local/ns"),
    ("spiffe://cluster.local/ns/media/sa/thumbnailer", "spiffe://cluster.local/ns/../sa"),
    ("spiffe://cluster.local/ns/media/sa/thumbnailer", "spiffe://cluster.local/ns/*/sa"),
    ("spiffe://cluster.local/ns/media/sa/thumbnailer", "spiffe://cluster.local/ns/"),
    ("{ environment: production }", "{ sub: production }"),
    ("subject: \"system:*\"", "subject: \"\""),
    ("algorithms: ES256", "algorithms: HS256"),
    ("algorithms: ES256", "algorithms: []"),
    ("audience: [smh-gateway, \"2\"]", "audience: []"),
    ("tenants: [photos, videos]", "tenants: photos"),
    // Names.
    ("  lib-file:\n", "  lib_file:\n"),
    ("  photos: { library", "  \"pho tos\": { library"),
    ("  photos: { library", "  ..: { library"),
    ("  billing:\n", "  \"bill ing\":\n"),
    ("  cluster:\n", "  clus/ter:\n"),
    ("space: space2", "space: space/2"),
];

const POLICY: &[(&str, &str)] = &[
    ("warn_at: 80%", "warn_at: 80"),
    ("warn_at: 80%", "warn_at: 0%"),
    ("warn_at: 80%", "warn_at: 101%"),
    // Fields.
    ("dry_run: false", "dryrun: false"),
    ("deny: { except: {", "deny: { excepting: {"),
    ("except: { callers", "except: { caller"),
    ("    mode: shadow\n", "    shadow: true\n"),
    ("limit: 100/s, burst: 200", "limit: 100/s, bursts: 200"),
    ("{ tenant: photos, reason: 42 }", "{ tenant: photos, why: 42 }"),
    // What is missing.
    ("  - name: legal hold\n    deny", "  - deny"),
    ("    allow_permanent: { callers: [janitor], paths: [\"tmp/**\"] }\n", ""),
    ("limit: 50000/day, ", ""),
    ("name: all of it, ", ""),
    ("{ caller: janitor }", "{ reason: why }"),
    ("dry_run: false", "dry_run:"),
    // Fields that exclude each other.
    ("    ticket: 1234\n", "    ticket: 1234\n    deny: {}\n"),
    ("{ caller: janitor }", "{ caller: janitor, tenant: photos }"),
    // Values.
    ("dry_run: false", "dry_run: no"),
    ("dry_run: false", "dry_run: \"false\""),
    ("everything: true", "everything: false"),
    ("permanent_deletes: by_rule", "permanent_deletes: allow"),
    ("irreversible_deletes: halt", "irreversible_deletes: stop"),
    ("mode: shadow }", "mode: dry_run }"),
    ("mode: enforce\n", "mode: enforced\n"),
    ("until: 2026-12-31\n", "until: 31.12.2026\n"),
    ("until: 2026-12-31\n", "until: 2026-13-31\n"),
    ("until: 2026-12-31\n", "until: tomorrow\n"),
    ("until: 2026-12-31\n", "until: -0001-01-01\n"),
    ("until: 2026-12-31\n", "until: +2026-12-31\n"),
    ("until: 2026-12-31T18:00:00+08:00", "until: 2026-12-31T18:00:00"),
    ("ticket: OPS-1234", "ticket: \"\""),
    ("ticket: OPS-1234", "ticket: \"a\\tb\""),
    ("name: legal hold", "name: légal hold"),
    ("name: all of it", "name: \"all \\\"of\\\" it\""),
    ("tenants: [contracts]", "tenants: []"),
    ("tenants: [contracts]", "tenants: contracts"),
    ("callers: [\"*\"]", "callers: [\"\"]"),
    ("\"legal/**\"", "\"/legal/**\""),
    ("\"legal/**\"", "\"legal//a\""),
    ("\"legal/**\"", "\"legal/\""),
    ("\"legal/**\"", "\"legal/**.pdf\""),
    ("\"legal/**\"", "\"legal/***\""),
    ("\"legal/**\"", "\"legal/../a\""),
    ("\"legal/**\"", "\".\""),
    ("\"legal/**\"", "'legal\\a'"),
    ("\"legal/**\"", "\"\""),
    (
        "except: { callers: [janitor], tenants: [photos], paths: [\"tmp/**\"], user_ids: [\"robot-*\"] }",
        "except: {}",
    ),
    ("limit: 100/s", "limit: 100"),
    ("limit: 100/s", "limit: 100/sec"),
    ("limit: 100/s", "limit: 0/s"),
    ("limit: 100/s", "limit: 1.5/s"),
    ("burst: 200", "burst: 0"),
    ("burst: 200", "burst: 4294967296"),
    ("per: [caller, tenant, library, user_id]", "per: [caller, path]"),
    ("per: [caller, tenant, library, user_id]", "per: caller"),
];

const CASES: &[(&str, &str)] = &[
    ("cases:\n", "case:\n"),
    ("  - name: nobody", "  - named: nobody"),
    (
        "request: { caller: janitor, tenant: videos, path: legal/a.pdf, ",
        "request: { caller: janitor, tenant: videos, ",
    ),
    ("{ caller: janitor, tenant: videos, path: legal/a.pdf", "{ tenant: videos, path: legal/a.pdf"),
    ("permanent: false", "permanent: 1"),
    ("permanent: false", "permanently: false"),
    ("at: 2027-01-01T00:00:00Z", "at: 2027-01-01"),
    ("at: 2027-01-01T00:00:00Z", "at: tomorrow"),
    ("    expect: { decision: deny, code: PermanentDeleteBlocked }\n", ""),
    ("decision: deny, code: PermanentDeleteBlocked", "code: PermanentDeleteBlocked"),
    (
        "decision: deny, code: PermanentDeleteBlocked",
        "decision: allow, code: PermanentDeleteBlocked",
    ),
    ("decision: deny, code: PermanentDeleteBlocked", "decision: denied"),
    ("code: PermanentDeleteBlocked", "code: RateLimited"),
    ("code: PermanentDeleteBlocked", "code: permanent_delete_blocked"),
    ("code: DeniedByRule, rule", "code: Frozen, rule"),
    ("decision: allow, rule: janitor", "decision: allow, rules: janitor"),
    ("name: nobody purges what is held", "name: \"\""),
];

#[test]
fn a_file_with_one_mistake_is_refused_by_the_schema_and_by_the_decoder() {
    let mut wrongly_taken = Vec::new();
    for (format, rows) in
        [(Format::Gateway, GATEWAY), (Format::Policy, POLICY), (Format::Cases, CASES)]
    {
        let right = sample(format);
        assert!(errors(format, &parsed(right)).is_empty());
        for (text, by) in rows {
            assert_eq!(right.matches(text).count(), 1, "{format:?}: {text:?} stands there once");
            let wrong = right.replace(text, by);
            if errors(format, &parsed(&wrong)).is_empty() {
                wrongly_taken.push(format!("the schema takes {by:?} for {text:?}"));
            }
            if !decoded(format, &wrong).1.has_errors() {
                wrongly_taken.push(format!("the decoder takes {by:?} for {text:?}"));
            }
        }
    }
    assert!(wrongly_taken.is_empty(), "{wrongly_taken:#?}");
}

/// The other way round: what a program would write or an operator in a hurry, and may.
#[test]
fn what_the_decoder_takes_in_an_odd_form_the_schema_takes_too() {
    for (format, text, by) in [
        (Format::Gateway, "mode: \"0660\"", "mode: 0660"),
        (Format::Gateway, "mode: \"0660\"", "mode: 660"),
        (Format::Gateway, "group: media", "group: 1000"),
        (Format::Gateway, "address: 127.0.0.1:9901", "address: none"),
        (
            Format::Gateway,
            "admin:\n  address: 127.0.0.1:9901\n  socket: admin.sock\n  allow_quit: true",
            "admin: none",
        ),
        (Format::Gateway, "space: space2", "space: 12e3"),
        (Format::Gateway, "timeout: 10s", "timeout: 010s"),
        (Format::Gateway, "127.0.0.1:8443", "\"[::1%2]:8443\""),
        (Format::Gateway, "workers: 2\n", "\"workers\": 2 # a comment\n"),
        (Format::Policy, "until: 2026-12-31\n", "until: \"2026-12-31\"\n"),
        (Format::Policy, "until: 2026-12-31\n", "until: 2026-12-31T18:00:00.5Z\n"),
        (Format::Gateway, "space: space2", "space: true"),
        (Format::Policy, "name: legal hold", "name: 42"),
        (Format::Policy, "name: legal hold", "name: true"),
        (Format::Policy, "name: all of it", "name: false"),
        (Format::Policy, "ticket: OPS-1234", "ticket: true"),
        (Format::Policy, "user_ids: [1234, ", "user_ids: [true, "),
        (Format::Cases, "name: nobody purges what is held", "name: true"),
        (Format::Cases, "user_id: 1234", "user_id: false"),
        (Format::Policy, "limit: 100/s", "limit: 0100/min"),
        (Format::Policy, "\"legal/**\"", "\"legal/.../..a/a..\""),
        (Format::Policy, "\"legal/**\"", "2025"),
    ] {
        let right = sample(format);
        assert_eq!(right.matches(text).count(), 1, "{format:?}: {text:?} stands there once");
        let odd = right.replace(text, by);
        let (_, report) = decoded(format, &odd);
        assert!(!report.has_errors(), "{by:?}: {:?}", super::messages(&report));
        let errors = errors(format, &parsed(&odd));
        assert!(errors.is_empty(), "{by:?}: {errors:?}");
    }
}
