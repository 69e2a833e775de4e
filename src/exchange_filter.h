// Which exchanges of a record are wanted, as the options of `moat trace` say it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "command.h"
#include "core/json.h"
#include "core/result.h"
#include "proxy/policy.h"

namespace moat {

class ExchangeFilter {
 public:
  // Of --host, --method, --status, --grant, --request and --refused. Of what is given more than
  // once, one must fit; of each that is given, something.
  static Result<ExchangeFilter> from(const Arguments& arguments);

  [[nodiscard]] bool empty() const;
  [[nodiscard]] bool has(const Json::View& exchange) const;

 private:
  bool refused_ = false;
  std::vector<proxy::HostRule> hosts_;
  std::vector<std::string> methods_;                   // upper case
  std::vector<std::pair<int64_t, int64_t>> statuses_;  // from, to
  std::vector<std::string> grants_;
  std::vector<std::string> requests_;  // how an id begins
};

}  // namespace moat
