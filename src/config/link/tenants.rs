//! Tenants and the libraries that their files are in.

use std::collections::hash_map::{Entry, HashMap};
use std::sync::Arc;

use crate::config::gateway_file::GatewayFile;
use crate::config::link::Names;
use crate::config::lint::Places;
use crate::config::report::{Problem, Report, Warning};
use crate::config::snapshot::ConfiguredLibrary;
use crate::config::source::{Place, Spanned};
use crate::directory::{RecycleBin, Tenant, UserIdRule};
use crate::ids::{LibraryId, SpaceId, TenantName};
use crate::policy::{PermanentDeletes, Policy};
use crate::token::TokenSource;

/// With `smh_paths` a delete may name a space instead of a tenant, so it must be one tenant's.
pub(super) fn link_tenants(
    gateway: &GatewayFile,
    libraries: &HashMap<LibraryId, ConfiguredLibrary>,
    names: &Names<'_>,
    smh_paths: bool,
    places: &mut Places,
    report: &mut Report,
) -> Vec<Arc<Tenant>> {
    let mut linked: Vec<Arc<Tenant>> = Vec::new();
    let mut of_spaces: HashMap<(&LibraryId, &SpaceId), &TenantName> = HashMap::new();
    for (name, tenant) in gateway.tenants.iter().flatten() {
        let Some(tenant) = tenant else { continue };
        let Spanned { place, value: library } = &tenant.library;
        if let Some(known) = &names.libraries
            && !known.contains(library)
        {
            report.unknown_name(*place, "library", library, known.iter());
        } else if let Some(configured) = libraries.get(library.as_str()) {
            match of_spaces.entry((&configured.library.id, &tenant.space)) {
                Entry::Vacant(nobodys) => {
                    nobodys.insert(&name.value);
                }
                Entry::Occupied(other) => {
                    report.push(shared_space(name.place, other.get(), smh_paths));
                }
            }
            places.tenants.push(name.place);
            linked.push(Arc::new(Tenant::new(
                name.value.clone(),
                Arc::clone(&configured.library),
                tenant.space.clone(),
                tenant.user_id.clone(),
            )));
        }
    }
    linked
}

fn shared_space(place: Place, other: &TenantName, smh_paths: bool) -> Problem {
    if smh_paths {
        let message = format!(
            "this is the space of tenant `{other}`, too: a delete by an SMH path could be either's"
        );
        let help = "keep one of the two, or leave `smh_paths` out";
        Problem::error(place, message).with_help(help)
    } else {
        let message = format!("this is the space of tenant `{other}`, too");
        let help = "a rule for one of them is walked around through the other";
        Problem::warning(place, Warning::SharedSpace, message).with_help(help)
    }
}

/// What a minted token cannot do although the files look as if it could.
pub(super) fn warn_of_minted_tokens(
    gateway: &GatewayFile,
    libraries: &HashMap<LibraryId, ConfiguredLibrary>,
    policy: &Policy,
    report: &mut Report,
) {
    let by_rule = policy.permanent_deletes == PermanentDeletes::ByRule;
    for (_, tenant) in gateway.tenants.iter().flatten() {
        let Some(tenant) = tenant else { continue };
        let Some(configured) = libraries.get(tenant.library.value.as_str()) else { continue };
        let TokenSource::Minted(plan) = &configured.token else { continue };
        if tenant.user_id == UserIdRule::Forward {
            let message = "this tenant forwards `user_id`, but SMH heeds it only for an admin token \
                           that was issued without a user, which is not what is minted";
            let problem = Problem::warning(tenant.library.place, Warning::MintedUserId, message);
            report.push(problem.with_help("say `user_id: forbid`, or give the library a `token`"));
        }
        let keeps = configured.library.recycle_bin == RecycleBin::On;
        if by_rule && keeps && !plan.grant.covers_permanent_deletes() {
            let message = format!(
                "the policy may allow permanent deletes, but the tokens of this library are minted \
                 with `{}`, and SMH will refuse them",
                plan.grant.as_str()
            );
            let problem = Problem::warning(tenant.library.place, Warning::MintedGrant, message);
            let help = "say `grant: delete_file,delete_file_permanent`, and why";
            report.push(problem.with_help(help));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::report::Severity;
    use crate::config::{gateway_file, link, yaml};
    use std::path::Path;

    const GATEWAY: &str = "\
listeners: [{ address: 127.0.0.1:8080 }]
libraries:
  lib: { token: { file: token } }
  other: { token: { file: token } }
tenants:
  one: { library: lib, space: space }
  two: { library: lib, space: space2 }
  three: { library: other, space: space }
  four: { library: lib, space: space }
callers:
  app: { api_key: { file: app.key }, tenants: [one] }
";

    /// How bad it is, and the line that it is said of.
    fn problems(smh_paths: bool) -> Vec<(Severity, u32)> {
        let mut report = Report::new();
        let root = yaml::read(&mut report, "gateway.yaml", GATEWAY.as_bytes()).unwrap();
        let gateway = gateway_file::decode(&root, &mut report).unwrap();
        let libraries = link::link_libraries(&gateway, Path::new(""), &mut report);
        let names = Names { libraries: None, tenants: None, callers: None, issuers: None };
        let linked = link_tenants(
            &gateway,
            &libraries,
            &names,
            smh_paths,
            &mut Places::default(),
            &mut report,
        );
        assert_eq!(linked.len(), 4);
        let problems = report.problems().into_iter();
        problems.map(|problem| (problem.severity(), problem.place().unwrap().line)).collect()
    }

    #[test]
    fn a_space_of_two_tenants_is_odd_and_with_smh_paths_a_mistake() {
        assert_eq!(problems(false), [(Severity::Warning, 9)]);
        assert_eq!(problems(true), [(Severity::Error, 9)]);
    }
}
