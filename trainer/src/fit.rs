//! What stages and the model must agree on, settled before the first step.

use mempack_model::training::Trainee;

use crate::TrainError;
use crate::config::StageConfig;
use crate::stages::StageName;
use crate::turns::{answer_form, room};

/// Refuses stages whose sequences are longer than the model's context, and gives the model's `memory` block the sentence that stages teach
/// it to say where the references do not tell.
pub(crate) fn fit(stages: &[StageConfig], trainee: &mut Trainee) -> Result<(), TrainError> {
    for (number, stage) in stages.iter().enumerate() {
        let objective = stage.learn.objective();
        let bounds = objective.length().zip(room(trainee.model())).zip(trainee.model().config().max_positions);
        if let Some((((field, found), max), positions)) = bounds.filter(|(((_, found), max), _)| found > max) {
            return Err(TrainError::Length { field: StageName::new(number).field(field), found, max, positions });
        }
        if let Some(sentence) = objective.no_answer()? {
            trainee.set_no_answer(answer_form(&sentence));
        }
    }
    Ok(())
}
