//! What can be set on a managed HSM.

use crate::vocabulary::vocabulary;

vocabulary!(
    /// A setting of a managed HSM; each is a boolean.
    SettingName, "setting", {
        /// Whether the management plane may create and show keys (management-plane.md §1).
        AllowKeyManagementOperationsThroughArm => "AllowKeyManagementOperationsThroughARM",
    }
);
