-- performance/top_strategies: the strategies with the best risk-adjusted result, by Sharpe ratio
-- table strategies : strategy table to look at
-- param limit = 20 : strategies to show
-- param periods_per_year = 252 : rows of one strategy in a year, for annualising (252 trading days, 53 weekly rows, ...)
-- result strategy : name
-- result periods : rows with a value
-- result total_pnl : sum of P&L, in the unit of the table
-- result sharpe_ratio : annualised, without a risk-free rate
-- result sortino_ratio : annualised, by losses alone
-- result win_rate : share of winning rows among rows that won or lost, 0..1
-- result profit_factor : gains by losses; NULL where nothing was lost
-- result max_drawdown : deepest fall of the running sum, in the unit of the table (<= 0)
SELECT
  strategy,
  count(pnl) AS periods,
  roi(pnl) AS total_pnl,
  sharpe_ratio(pnl, 0, $periods_per_year) AS sharpe_ratio,
  sortino_ratio(pnl, 0, $periods_per_year) AS sortino_ratio,
  win_rate(pnl) AS win_rate,
  profit_factor(pnl) AS profit_factor,
  max_drawdown_pnl(pnl) AS max_drawdown
FROM strategies
GROUP BY strategy
ORDER BY sharpe_ratio DESC NULLS LAST, strategy
LIMIT $limit;
