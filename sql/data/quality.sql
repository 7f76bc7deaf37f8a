-- data/quality: what is odd about the data of each strategy, the oddest first
-- table strategies : strategy table to look at
-- param zero_share = 0.9 : share of zeros from which a strategy counts as idle, 0..1
-- param limit = 50 : strategies to show
-- result strategy : name
-- result remark : the gravest of: no values, constant, idle, gaps, ok
-- result periods : rows, with a value or without
-- result nulls : rows without a value
-- result zeros : rows whose value is 0
-- result smallest : smallest value, in the unit of the table
-- result largest : largest value, in the unit of the table
-- result first_date : first day with a value
-- result last_date : last day with a value
WITH facts AS (
  SELECT
    strategy,
    count(*) AS periods,
    count(*) - count(pnl) AS nulls,
    count(*) FILTER (WHERE pnl = 0) AS zeros,
    min(pnl) AS smallest,
    max(pnl) AS largest,
    min(date) FILTER (WHERE pnl IS NOT NULL) AS first_date,
    max(date) FILTER (WHERE pnl IS NOT NULL) AS last_date
  FROM strategies
  GROUP BY strategy
), judged AS (
  SELECT
    *,
    CASE
      WHEN nulls = periods THEN 1
      WHEN smallest = largest THEN 2
      WHEN zeros >= $zero_share * (periods - nulls) THEN 3
      WHEN nulls > 0 THEN 4
      ELSE 5
    END AS grade
  FROM facts
)
SELECT
  strategy,
  CASE grade WHEN 1 THEN 'no values' WHEN 2 THEN 'constant' WHEN 3 THEN 'idle' WHEN 4 THEN 'gaps' ELSE 'ok' END AS remark,
  periods,
  nulls,
  zeros,
  smallest,
  largest,
  first_date,
  last_date
FROM judged
ORDER BY grade, nulls DESC, zeros DESC, strategy
LIMIT $limit;
