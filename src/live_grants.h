// LiveGrants: those credentials of a run that expire, kept fresh for as long as it lives: renewed
// by a Refresher each, put on requests from then on, and told to the record.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config.h"
#include "core/fetch.h"
#include "core/loop.h"
#include "core/result.h"
#include "grant.h"
#include "paths.h"
#include "proxy/injection.h"
#include "proxy/observer.h"
#include "recorder.h"

namespace moat {

class LiveGrants {
 public:
  using OnFresh = std::function<void(const std::vector<proxy::Injection>& fresh)>;

  // Takes over what in `grants` is renewable; without any it does nothing. The recorder outlives
  // retire(). `on_fresh` is called from the loop.
  static Result<std::unique_ptr<LiveGrants>> create(Loop& loop, const Home& home,
                                                    const Config& config, Recorder& recorder,
                                                    std::vector<GrantUse>& grants,
                                                    OnFresh on_fresh);
  ~LiveGrants();
  LiveGrants(const LiveGrants&) = delete;
  LiveGrants& operator=(const LiveGrants&) = delete;

  // Did a service refuse a credential of ours?
  void on_exchange(const proxy::Exchange& exchange);

  // The run ends: nothing is recorded, put on requests or begun any more. `settled`, once and from
  // the loop: what was under way is in the vault, or it has taken too long. It may destroy us.
  void retire(std::function<void()> settled);

 private:
  struct Live;
  LiveGrants(Loop& loop, Recorder& recorder, OnFresh on_fresh);
  void on_token(Live& live, const store::Sealed& credential);
  void on_trouble(const Live& live, const Error& trouble);
  void settle();
  void let_go_of_vault();

  Recorder& recorder_;
  OnFresh on_fresh_;
  Loop& loop_;
  store::Vault* vault_ = nullptr;   // where there is something to write
  std::optional<Fetcher> fetcher_;  // where there is something to fetch
  std::list<Live> live_;            // depends-on: fetcher_
  bool retired_ = false;
  int waits_ = 0;
  std::function<void()> settled_;
  Timer settling_;
};

}  // namespace moat
