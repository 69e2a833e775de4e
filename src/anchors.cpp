#include "anchors.h"

#include <utility>

#include "core/log.h"

namespace moat {
namespace {

constexpr Milliseconds take_limit{10'000};       // for a command, and for an authority
constexpr Milliseconds stamp_interval{60'000};   // authorities serve others as well
constexpr Milliseconds say_that_we_wait{1'000};  // longer than what works takes

}  // namespace

void add_anchors(Anchors& anchors, Loop& loop, const AuditSettings& settings,
                 const ReadVariable& environment, const OnStamp& on_stamp) {
  for (const AnchorSetting& setting : settings.anchors) {
    switch (setting.kind) {
      case AnchorSetting::Kind::file:
        anchors.add(make_file_anchor(setting.file));
        break;
      case AnchorSetting::Kind::command:
        anchors.add(make_command_anchor(loop, setting.command, take_limit));
        break;
      case AnchorSetting::Kind::syslog:
        anchors.add(make_syslog_anchor(setting.facility));
        break;
    }
  }
  if (!settings.timestamp.empty())
    anchors.add(make_timestamp_anchor(loop, settings.timestamp, environment, take_limit, on_stamp),
                stamp_interval);
}

struct Anchors::Entry {
  Entry(Loop& loop, std::unique_ptr<Anchor> what, Milliseconds interval_of_it,
        std::function<void()> rested)
      : anchor(std::move(what)), interval(interval_of_it), rest(loop, std::move(rested)) {}

  std::unique_ptr<Anchor> anchor;
  Milliseconds interval;
  Timer rest;
  std::optional<store::SignedHead> waiting;
  bool busy = false;
  bool failing = false;
  bool warned = false;
};

Anchors::Anchors(Loop& loop, std::string run, OnFailed on_failed, Milliseconds finish_limit)
    : loop_(loop),
      run_(std::move(run)),
      on_failed_(std::move(on_failed)),
      finish_limit_(finish_limit),
      patience_(loop,
                [this] {
                  log(Level::info, "waiting for %s to take the last head of the record",
                      late().c_str());
                }),
      deadline_(loop, [this] {
        log(Level::warning, "the last head of the record has not been handed to %s in time",
            late().c_str());
        entries_.clear();
        end_if_settled();
      }) {}

Anchors::~Anchors() = default;

void Anchors::add(std::unique_ptr<Anchor> anchor, Milliseconds interval) {
  const size_t place = entries_.size();
  entries_.push_back(std::make_unique<Entry>(loop_, std::move(anchor), interval,
                                             [this, place] { hand_on(*entries_[place]); }));
}

void Anchors::on_head(const store::SignedHead& head) {
  for (const auto& entry : entries_) {
    entry->waiting = head;
    hand_on(*entry);
  }
}

void Anchors::hand_on(Entry& entry) {
  if (entry.busy || !entry.waiting || (entry.rest.running() && !finishing_)) return;
  const store::SignedHead head = *std::exchange(entry.waiting, std::nullopt);
  entry.busy = true;
  if (entry.interval > Milliseconds(0)) entry.rest.start(entry.interval);
  entry.anchor->take(run_, head,
                     [this, &entry](const Result<void>& result) { taken(entry, result); });
}

// A failure is told where it begins: what is recorded of it makes the next head, which fails as
// well, and must not go on record again. The last head is told of in any case.
void Anchors::taken(Entry& entry, const Result<void>& result) {
  entry.busy = false;
  const bool begins = !result && !entry.failing;
  entry.failing = !result;
  const bool last = finishing_ && !entry.waiting;
  if (!result && (!entry.warned || last)) {
    log(Level::warning, "%s of the record has not been handed to %s: %s",
        last ? "the last head" : "a head", entry.anchor->name().c_str(),
        result.error().message.c_str());
    entry.warned = true;
  }
  if (begins) on_failed_(entry.anchor->name(), result.error().message);
  hand_on(entry);
  end_if_settled();
}

void Anchors::finish(const store::SignedHead& last, std::function<void()> done) {
  finishing_ = true;
  on_head(last);
  done_ = std::move(done);
  patience_.start(say_that_we_wait);
  deadline_.start(finish_limit_);
  end_if_settled();
}

std::string Anchors::late() const {
  std::string names;
  for (const auto& entry : entries_) {
    if (entry->busy || entry->waiting) names += (names.empty() ? "" : ", ") + entry->anchor->name();
  }
  return names;
}

void Anchors::end_if_settled() {
  if (!done_ || !late().empty()) return;
  patience_.stop();
  deadline_.stop();
  loop_.defer(std::exchange(done_, nullptr));
}

}  // namespace moat
