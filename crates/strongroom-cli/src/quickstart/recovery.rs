//! The second half of the story: the first HSM is backed up, and comes back in another one.

use std::path::Path;

use anyhow::{Context, Result};
use strongroom_drill::{BlobCredential, BlobStores, Drill, DrillError, Outcome, page};
use strongroom_types::Secret;

use super::{QUORUM, Steps, backups, keys};
use crate::custodians;
use crate::drill::Silent;
use crate::managed_hsm::{ManagedHsm, Owner};

/// What the second half needs of the first.
pub(super) struct Recovery<'a> {
    pub(super) owner: Owner<'a>,
    pub(super) data_dir: &'a Path,
    /// Where the custodians' files are.
    pub(super) folder: &'a Path,
    /// The security-domain file.
    pub(super) file: &'a Path,
}

impl Recovery<'_> {
    /// Tells it; answers the URL of the second HSM.
    pub(super) async fn tell(
        &self,
        first: &ManagedHsm<'_>,
        stores: &dyn BlobStores,
        steps: &mut Steps,
    ) -> Result<String> {
        let container = backups(self.data_dir);

        let step = steps.begin("Create a second managed HSM, for the recovery");
        let second = self.owner.managed_hsm(RECOVERED).await?;
        step.done(&second.url);
        let recovered_before = second.is_active().await?;
        if !(recovered_before && keys::are_there(&second).await) {
            let step = steps.begin("Back up the first one");
            let folder = first.back_up(&container).await?;
            step.done(&format!("{container}/{folder}"));

            if !recovered_before {
                let step = steps.begin("Recover: two of the three custodians open the security domain for the second");
                second.recover(&self.security_domain()?, &custodians::read_keys(self.folder, QUORUM)?).await?;
                step.done("active, with the root of the first");
            }
            let step = steps.begin("Back up the second, and restore the first one's backup into it");
            second.back_up(&container).await?;
            second.restore(&container, &folder).await?;
            step.done("its keys and its roles");

            self.hold_drill(&container, folder, stores, steps).await?;
        }
        let step = steps.begin("Prove that both hold the same keys");
        keys::prove_same(first, &second).await?;
        step.done("what one signs the other verifies, what one encrypts the other decrypts");
        Ok(second.url)
    }

    async fn hold_drill(
        &self,
        container: &str,
        folder: String,
        stores: &dyn BlobStores,
        steps: &mut Steps,
    ) -> Result<()> {
        let step = steps.begin("Hold a drill: restore in memory, and challenge every key");
        let drill = Drill {
            container: stores.open(container, BlobCredential::None).await.map_err(DrillError::from)?,
            address: container.to_owned(),
            folder,
            security_domain: Secret::new(self.security_domain()?),
            custodians: custodians::read_keys(self.folder, QUORUM)?,
            operator: "quickstart".to_owned(),
            program: concat!("strongroom ", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        let (report, signed) = drill.hold(&Silent).await?;
        let name = self.folder.join("drill-report");
        custodians::write_private(&name.with_extension("json"), signed.to_text()?.as_bytes())?;
        custodians::write_private(&name.with_extension("html"), page(&report)?.as_bytes())?;
        anyhow::ensure!(report.outcome == Outcome::Passed, "the drill failed: {}.html says why", name.display());
        let restored = &report.restored;
        let proved = format!("{} of {} versions proved", restored.proved, restored.versions);
        step.done(&format!("{proved}, {}.{{json,html}}", name.display()));
        Ok(())
    }

    fn security_domain(&self) -> Result<String> {
        std::fs::read_to_string(self.file).with_context(|| format!("cannot read {}", self.file.display()))
    }
}

const RECOVERED: &str = "quickstart-recovered";
