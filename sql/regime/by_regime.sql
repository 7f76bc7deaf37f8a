-- regime/by_regime: what all strategies together earned in each market regime
-- table strategies : strategy table with the column market_regime
-- needs strategies.market_regime : the column Market_regime of an enhanced CSV becomes it (tranchedb import FILE --into TABLE)
-- result market_regime : regime that the row states
-- result days : days with that regime
-- result values : rows with a value
-- result total_pnl : sum of P&L, in the unit of the table
-- result mean_pnl : mean row, in the unit of the table
-- result win_rate : share of winning rows among rows that won or lost, 0..1
-- result profit_factor : gains by losses; NULL where nothing was lost
-- result expected_shortfall : mean of the worst 5 % of rows, in the unit of the table (a loss is < 0)
SELECT
  market_regime,
  count(DISTINCT date) AS days,
  count(pnl) AS values,
  sum(pnl) AS total_pnl,
  avg(pnl) AS mean_pnl,
  win_rate(pnl) AS win_rate,
  profit_factor(pnl) AS profit_factor,
  expected_shortfall(pnl) AS expected_shortfall
FROM strategies
GROUP BY market_regime
ORDER BY mean_pnl DESC NULLS LAST, market_regime;
