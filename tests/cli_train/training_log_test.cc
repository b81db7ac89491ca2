#include "cli_train/training_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "espalier/base/error.h"
#include "espalier/io/file.h"
#include "tests/cli/cli_testing.h"

namespace espalier::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

train::TrainFigures Figures(std::int64_t epoch) {
  train::TrainFigures figures;
  figures.epoch = epoch;
  figures.step = 10 * epoch;
  figures.steps = 20;
  figures.learning_rate = 0.05;
  figures.loss = 0.25;
  figures.accuracy = 0.9375;
  figures.sparsity = 0.5;
  figures.samples_per_second = 100;
  figures.seconds = 12.34;
  return figures;
}

class TrainingLogTest : public CliTest {
 protected:
  std::string Text(const std::string& name) { return ReadFile(Path(name), 1 << 20); }

  CommonOptions common_;
  std::ostringstream out_, talk_;
  Streams streams_{out_, talk_};
};

TEST_F(TrainingLogTest, WritesALineAnEpochUnderOneHeader) {
  for (int run = 0; run < 2; ++run) {
    TrainingLog log(Path("log.csv"), common_, streams_);
    log.Epoch(Figures(run + 1));
  }
  EXPECT_EQ(Text("log.csv"),
            "epoch,step,learning_rate,loss,accuracy,held_out_loss,held_out_accuracy,sparsity,"
            "samples_per_second,seconds\n"
            "1,10,0.05,0.25,0.9375,,,0.5,100.0,12.3\n"
            "2,20,0.05,0.25,0.9375,,,0.5,100.0,12.3\n");
  EXPECT_THAT(talk_.str(), HasSubstr("epoch   1: loss 0.2500, top-1 93.75 %, held-out top-1 -, "));
  EXPECT_EQ(out_.str(), "");
}

TEST_F(TrainingLogTest, SaysNothingWhenQuiet) {
  common_.quiet = true;
  TrainingLog log("", common_, streams_);
  log.Step(Figures(1));
  log.Epoch(Figures(1));
  log.Corrupt("a.jpg: truncated");
  log.Finish();
  EXPECT_EQ(talk_.str(), "");
}

TEST_F(TrainingLogTest, NamesTheSampleThatIsSkipped) {
  TrainingLog log("", common_, streams_);
  log.Corrupt("a.jpg: truncated");
  EXPECT_THAT(talk_.str(), HasSubstr("warning: skipped: a.jpg: truncated\n"));
}

TEST_F(TrainingLogTest, NamesAFileThatCannotBeWritten) {
  const std::string path = Path("no/such/log.csv");
  try {
    TrainingLog log(path, common_, streams_);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kWriteFailed);
    EXPECT_THAT(error.what(), StartsWith(path));
  }
}

}  // namespace
}  // namespace espalier::cli
