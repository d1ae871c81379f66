// The numbers of an attention analysis as tables.
#pragma once

#include <vector>

#include "app/lab/lab_output.h"
#include "app/report/number_table.h"

namespace uvic::app {

/// A row for each subject, place, block and head, and for the mean over heads; a column with its
/// error for each statistic of heads.
NumberTable head_table(const std::vector<LabSubject>& subjects);
/// A row for each subject, place and block; columns of gradients where they were measured.
NumberTable block_table(const std::vector<LabSubject>& subjects);
/// A row for each ablation, place in the network, and place.
NumberTable ablation_table(const std::vector<LabSubject>& subjects);

}  // namespace uvic::app
