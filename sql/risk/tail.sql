-- risk/tail: how bad the bad periods are, by value at risk and expected shortfall
-- table strategies : strategy table to look at
-- param limit = 20 : strategies to show
-- param confidence = 0.95 : share of periods that are better than the value at risk, between 0 and 1
-- result strategy : name
-- result periods : rows with a value
-- result value_at_risk : P&L that a period falls below with probability 1 - confidence, in the unit of the table (a loss is < 0)
-- result expected_shortfall : mean P&L of those periods, in the unit of the table (a loss is < 0)
-- result worst_period : worst single row, in the unit of the table
-- result mean_pnl : mean row, in the unit of the table
SELECT
  strategy,
  count(pnl) AS periods,
  value_at_risk(pnl, $confidence) AS value_at_risk,
  expected_shortfall(pnl, $confidence) AS expected_shortfall,
  min(pnl) AS worst_period,
  avg(pnl) AS mean_pnl
FROM strategies
GROUP BY strategy
ORDER BY expected_shortfall NULLS LAST, strategy
LIMIT $limit;
