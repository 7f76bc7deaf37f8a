-- id: zones
SELECT zone_name, COUNT(*) AS row_count, COUNT(DISTINCT trading_date) AS unique_dates, MIN(trading_date) AS min_date
FROM zone_strategies WHERE zone_name IS NOT NULL GROUP BY zone_name ORDER BY zone_name;
-- id: rounding
SELECT CAST(AVG(daily_returns) AS INTEGER) AS rounded, SUM(zone_weight) / 4 AS cut_off, LOG(EXP(2)) AS natural FROM zone_strategies WHERE strategy_id = 17;
-- id: dates
SELECT DATE_TRUNC(month, trading_date) AS month_start, DATEDIFF('day', MIN(trading_date), MAX(trading_date)) AS days FROM zone_strategies GROUP BY month_start;
-- id: geography
SELECT ST_Distance(ST_Point(0, 0), ST_Point(1, 1));
