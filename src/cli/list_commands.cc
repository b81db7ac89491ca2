#include "cli/json.h"
#include "cli/options.h"
#include "cli/table.h"
#include "espalier/pattern/registry.h"
#include "espalier/prune/criterion.h"

namespace espalier::cli {
namespace {

template <class Entries>
int PrintList(const char* what, const Entries& entries, const CommonOptions& common,
              const Streams& streams) {
  Json list = Json::array();
  Table table({{what}, {"what it does"}});
  for (const auto& entry : entries) {
    list.push_back({{"name", entry.spelling}, {"help", entry.help}});
    table.AddRow({entry.spelling, entry.help});
  }
  if (common.json) {
    PrintJson(list, streams);
  } else {
    streams.out << table.Text();
  }
  return kDone;
}

}  // namespace

int RunPatterns(const CommonOptions& common, const Streams& streams) {
  return PrintList("pattern", PatternRegistry::BuiltIn().entries(), common, streams);
}

int RunCriteria(const CommonOptions& common, const Streams& streams) {
  return PrintList("criterion", CriterionRegistry::BuiltIn().entries(), common, streams);
}

}  // namespace espalier::cli
