// How far the copied units of a grown model are apart: zero for copies that are still equal, which
// learn nothing that one of them could not.
#pragma once

#include <optional>

#include "expand/plan.h"
#include "nn/resnet.h"
#include "nn/transformer.h"

namespace orchard::expand {

// Mean of |u - u'| / |u| over every copy u' of a unit and its first copy u, where a unit is a
// fan-in row of q, k, v and of the first maps of MLPs. Nothing when the growth copied no such unit.
//   maps  of the plan that `model` was grown by
// Throws DataError where they do not fit the model.
std::optional<double> UnitDivergence(const nn::Transformer& model, const AxisMaps& maps);

// The same for a residual network, where a unit is a channel: a row of a convolution, with its
// kernels. Rows that read an axis which did not grow are equal until training moves them: what
// reads them differs.
std::optional<double> UnitDivergence(const nn::ResNet& model, const Plan& plan);

}  // namespace orchard::expand
