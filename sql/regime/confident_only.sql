-- regime/confident_only: strategies judged by the rows alone whose regime is known with confidence
-- table strategies : strategy table with the column regime_confidence
-- needs strategies.regime_confidence : the column Regime_Confidence_% of an enhanced CSV becomes it (tranchedb import FILE --into TABLE)
-- param min_confidence = 0.7 : least confidence of a row that counts, 0..1
-- param limit = 20 : strategies to show
-- result strategy : name
-- result confident_periods : rows with a value and enough confidence
-- result all_periods : rows with a value
-- result weighted_mean : mean of the confident rows weighted by their confidence, in the unit of the table
-- result confident_mean : plain mean of the confident rows, in the unit of the table
-- result all_mean : plain mean of all rows, in the unit of the table
-- result confident_win_rate : share of winning rows among confident rows that won or lost, 0..1
SELECT
  strategy,
  count(pnl) FILTER (WHERE regime_confidence >= $min_confidence) AS confident_periods,
  count(pnl) AS all_periods,
  sum(pnl * regime_confidence) FILTER (WHERE regime_confidence >= $min_confidence)
    / nullif(sum(regime_confidence) FILTER (WHERE regime_confidence >= $min_confidence AND pnl IS NOT NULL), 0) AS weighted_mean,
  avg(pnl) FILTER (WHERE regime_confidence >= $min_confidence) AS confident_mean,
  avg(pnl) AS all_mean,
  win_rate(pnl) FILTER (WHERE regime_confidence >= $min_confidence) AS confident_win_rate
FROM strategies
GROUP BY strategy
ORDER BY weighted_mean DESC NULLS LAST, strategy
LIMIT $limit;
