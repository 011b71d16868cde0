SELECT cultivar AS y_true, said AS y_pred, strength, count(*) AS n
FROM 'samples/predictions/predictions.csv'
GROUP BY ALL
