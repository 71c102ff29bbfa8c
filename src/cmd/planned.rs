//! What commands on plans share: opening one, and what their errors are.

use std::path::Path;
use std::time::Duration;

use mempack_compiler::{Plan, PlanError, PreviousPack, ShardDefect, Stage};
use mempack_format::{Difference, ReadError};
use serde_json::{Map, Value, json};

use crate::failure::{Failure, Kind};
use crate::hints;

/// Opens the plan in a folder.
pub fn open(folder: &Path) -> Result<Plan, Failure> {
    enum Why {
        Plan(PlanError),
        Pack(Failure),
    }
    impl From<PlanError> for Why {
        fn from(error: PlanError) -> Self {
            Self::Plan(error)
        }
    }
    let pack = |path: &Path| Ok(PreviousPack::new(path, super::open(path).map_err(Why::Pack)?));
    Plan::open(folder, pack).map_err(|why| match why {
        Why::Plan(error) => failure(error, folder),
        Why::Pack(failure) => failure,
    })
}

/// The failure of work on the plan in a folder.
pub fn failure(error: PlanError, folder: &Path) -> Failure {
    let (kind, hint) = (kind(&error), hints::plan(&error));
    let details = match &error {
        PlanError::Identity { differences, .. } => Some(Difference::details(differences)),
        PlanError::Build(error) => hints::build_details(error),
        _ => None,
    };
    let again = again(&error, folder);
    let failure = if again.is_empty() { Failure::new(kind, error) } else { Failure::new(kind, format!("{error}\n{again}")) };
    failure.with_hint(hint).with_details(details)
}

/// The commands that build the shards which a merge lacks.
fn again(error: &PlanError, folder: &Path) -> String {
    /// So many commands say how it is done.
    const SHOWN: usize = 20;
    let shards = error.bad_shards();
    if shards.is_empty() {
        return String::new();
    }
    let command = |shard: &u32| format!("\n  mempack build --plan {} --shard {shard}", folder.display());
    let commands: String = shards.iter().take(SHOWN).map(command).collect();
    let more = shards.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
    format!("build these again, and then merge:{commands}{more}")
}

fn kind(error: &PlanError) -> Kind {
    match error {
        PlanError::Build(error) => super::encoding::kind(error),
        PlanError::Identity { .. } | PlanError::Version { .. } | PlanError::Device { .. } | PlanError::Probe { .. } => Kind::Mismatch,
        PlanError::Manifest { .. } | PlanError::File { .. } => Kind::Damaged,
        PlanError::Pack { source, .. } if matches!(**source, ReadError::Damaged(_)) => Kind::Damaged,
        PlanError::Exists { .. } | PlanError::Occupied { .. } | PlanError::NoShard { .. } | PlanError::Name { .. } => Kind::Usage,
        PlanError::Shards { bad, .. } if bad.iter().any(|bad| bad.defect.is_damage()) => Kind::Damaged,
        PlanError::Shards { bad, .. }
            if bad.iter().any(|bad| matches!(bad.defect, ShardDefect::OtherPlan { .. } | ShardDefect::OtherVersion { .. })) =>
        {
            Kind::Mismatch
        }
        _ => Kind::Work,
    }
}

/// The seconds of all stages together.
pub fn seconds(stages: &[(Stage, Duration)]) -> f64 {
    stages.iter().map(|(_, time)| time.as_secs_f64()).sum()
}

/// The stages with their seconds.
pub fn stages_json(stages: &[(Stage, Duration)]) -> Value {
    let stages: Map<_, _> = stages.iter().map(|(stage, time)| (stage.to_string(), json!(time.as_secs_f64()))).collect();
    Value::Object(stages)
}
