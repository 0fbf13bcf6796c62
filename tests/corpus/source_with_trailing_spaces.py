print('a')   
   
	
print('b')  # c  
1 / 0   
