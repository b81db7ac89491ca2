#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "espalier/base/error.h"

namespace espalier::train {

/// Expects `work` to throw an Error of `code` whose text has `text`.
template <class Work>
void ExpectError(const Work& work, ErrorCode code, const std::string& text) {
  try {
    work();
    ADD_FAILURE() << "no error; wanted '" << text << "'";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.what(), ::testing::HasSubstr(text));
  }
}

}  // namespace espalier::train
