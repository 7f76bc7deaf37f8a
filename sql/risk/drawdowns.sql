-- risk/drawdowns: the deepest drawdowns, and what was earned for them
-- table strategies : strategy table to look at
-- param limit = 20 : strategies to show
-- param periods_per_year = 252 : rows of one strategy in a year, for annualising
-- result strategy : name
-- result max_drawdown : deepest fall of the running sum below its highest value so far, in the unit of the table (<= 0)
-- result total_pnl : sum of P&L, in the unit of the table
-- result drawdown_of_total : the drawdown as a multiple of what was earned; NULL where nothing was earned (<= 0)
-- result calmar_ratio : yearly P&L by the size of the drawdown
-- result worst_period : worst single row, in the unit of the table
SELECT
  strategy,
  max_drawdown_pnl(pnl) AS max_drawdown,
  roi(pnl) AS total_pnl,
  CASE WHEN roi(pnl) > 0 THEN max_drawdown_pnl(pnl) / roi(pnl) END AS drawdown_of_total,
  calmar_ratio_pnl(pnl, $periods_per_year) AS calmar_ratio,
  min(pnl) AS worst_period
FROM strategies
GROUP BY strategy
ORDER BY max_drawdown NULLS LAST, strategy
LIMIT $limit;
