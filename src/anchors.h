// Anchors: hands each signed head of a run to all that it is to be anchored in. Each gets one at a
// time; of those that come meanwhile, only the newest waits.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "anchor.h"
#include "core/loop.h"
#include "core/result.h"
#include "store/record.h"

namespace moat {

class Anchors {
 public:
  // `name` is of an anchor that has failed where it had not before.
  using OnFailed = std::function<void(const std::string& name, const std::string& reason)>;
  Anchors(Loop& loop, std::string run, OnFailed on_failed,
          Milliseconds finish_limit = Milliseconds(12'000));
  ~Anchors();
  Anchors(const Anchors&) = delete;
  Anchors& operator=(const Anchors&) = delete;

  // Not more often than each `interval`, but for the last head.
  void add(std::unique_ptr<Anchor> anchor, Milliseconds interval = Milliseconds(0));
  void on_head(const store::SignedHead& head);

  // `last` is the head of the whole record, and no other follows. `done` is called once, from the
  // loop: when all have it, or have failed, or the time is over. What takes long is said on stderr.
  void finish(const store::SignedHead& last, std::function<void()> done);

 private:
  struct Entry;
  void hand_on(Entry& entry);
  void taken(Entry& entry, const Result<void>& result);
  void end_if_settled();
  [[nodiscard]] std::string late() const;  // the names of those that have not taken the last head

  Loop& loop_;
  std::string run_;
  OnFailed on_failed_;
  std::vector<std::unique_ptr<Entry>> entries_;
  std::function<void()> done_;
  Milliseconds finish_limit_;
  bool finishing_ = false;
  Timer patience_;
  Timer deadline_;
};

// Those of a user's settings. For `environment` and `on_stamp` see make_timestamp_anchor().
void add_anchors(Anchors& anchors, Loop& loop, const AuditSettings& settings,
                 const ReadVariable& environment, const OnStamp& on_stamp);

}  // namespace moat
